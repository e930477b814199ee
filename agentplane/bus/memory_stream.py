"""What the bus in memory keeps: streams, their durable consumers, and one delivered message."""

import asyncio
import itertools
from collections import deque
from typing import Protocol

import msgspec

from agentplane.bus.streams import STREAMS

_identities = itertools.count(1)


class Stored(msgspec.Struct, frozen=True):
    """A message in a stream."""

    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]


class Durable:
    """A work consumer: what waits for it, and what it holds unacknowledged."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.ready: deque[int] = deque()
        self.unacknowledged: set[int] = set()
        self.deliveries: dict[int, int] = {}


class Stream:
    """A stream since it was last wiped."""

    def __init__(self, name: str) -> None:
        self.spec = STREAMS[name]
        self.identity = f"memory-{next(_identities)}"
        self.last = 0
        self.messages: dict[int, Stored] = {}
        self.ids: set[str] = set()
        self.durables: dict[str, Durable] = {}


class Shelf(Protocol):
    """Where an unacknowledged message goes back to."""

    @property
    def down(self) -> bool:
        """Whether nothing reaches the server."""
        ...

    def put_back(self, durable: Durable, sequence: int) -> None:
        """Deliver it again."""
        ...


class MemoryMessage:
    """One delivered message."""

    def __init__(self, shelf: Shelf, stream: Stream, durable: Durable | None, stored: Stored) -> None:
        self._shelf = shelf
        self._stream = stream
        self._durable = durable
        self._stored = stored
        self.deliveries = durable.deliveries[stored.sequence] if durable else 1

    @property
    def subject(self) -> str:
        """Where it was published."""
        return self._stored.subject

    @property
    def data(self) -> bytes:
        """Its body."""
        return self._stored.data

    @property
    def headers(self) -> dict[str, str]:
        """Its headers."""
        return dict(self._stored.headers)

    @property
    def sequence(self) -> int:
        """Its sequence in the stream."""
        return self._stored.sequence

    async def ack(self) -> None:
        """Done."""
        self._settle()

    async def nak(self, delay_s: float) -> None:
        """Deliver it again after a delay."""
        if self._durable and self.sequence in self._durable.unacknowledged:
            asyncio.get_running_loop().call_later(delay_s, self._shelf.put_back, self._durable, self.sequence)

    async def term(self, reason: str) -> None:  # noqa: ARG002 - only a server's log would show it
        """Never deliver it again."""
        self._settle()

    def _settle(self) -> None:
        if self._durable is None or self._shelf.down:
            return
        self._durable.unacknowledged.discard(self.sequence)
        if self._stream.spec.retention == "workqueue":
            self._stream.messages.pop(self.sequence, None)
