"""The ports: what the shells need from the outside, as Protocols. Adapters are named technology first.

One contract suite per port (tests/contract) runs over the memory and the real adapter.
"""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from agentplane.events.model import Append, StoredEvent, StreamId


class EventStore(Protocol):
    """The log. Append order is commit order; no gaps; nothing is ever changed."""

    async def append(self, *appends: Append) -> tuple[StoredEvent, ...]:
        """Store all the given events in one transaction, or none; answers when they are durable.

        An event whose id is already stored with the same body succeeds and is returned as first stored.

        Raises:
            Conflict: code `store.version` (expected_version is not the stream's), or `store.duplicate-id`
                (same id, another body: both digests are in the message).
            Refused: code `store.secret` (a secret would enter), `store.too-large`, `store.future`.
            Transient: the database is away or full; nothing was stored, or the same call repeated finds it stored.
        """
        ...

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order, at most `limit`."""
        ...

    async def read_stream(self, stream: StreamId, after_version: int = 0) -> tuple[StoredEvent, ...]:
        """One stream's events in order."""
        ...

    async def find(self, *ids: uuid.UUID) -> tuple[StoredEvent, ...]:
        """The events with these ids, of any tenant, as far as there are any, in order."""
        ...

    async def head(self) -> int:
        """The last sequence; 0 for an empty log."""
        ...

    def wakeups(self) -> AsyncIterator[None]:
        """Yields when there may be something new. A hint: readers poll as well."""
        ...


class Message(Protocol):
    """One delivered message of the bus; unacknowledged ones are delivered again."""

    @property
    def subject(self) -> str:
        """Where it was published."""
        ...

    @property
    def data(self) -> bytes:
        """Its body, at most the server's max_payload."""
        ...

    @property
    def headers(self) -> dict[str, str]:
        """Its headers."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this time included."""
        ...

    async def ack(self) -> None:
        """Done; never deliver it again."""
        ...

    async def nak(self, delay_s: float) -> None:
        """Not done; deliver it again after a delay."""
        ...

    async def term(self, reason: str) -> None:
        """Poison; never deliver it again. Its body and reason must already be kept elsewhere."""
        ...


Responder = Callable[[str, bytes], Awaitable[bytes]]


class Bus(Protocol):
    """Transport. It may lose or repeat anything; the store heals it."""

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Publish durably (JetStream) with `Nats-Msg-Id`. Raises Transient."""
        ...

    async def publish_batch(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """(subject, data, message_id) each, durably, in order. Raises Transient."""
        ...

    async def emit(self, subject: str, data: bytes) -> None:
        """Publish without any promise (logs, wake-ups)."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask and wait for the answer. Raises Transient: nobody answered."""
        ...

    async def respond(self, subject: str, responder: Responder, *, queue: str = "") -> None:
        """Answer requests on a subject (wildcards allowed) until close."""
        ...

    def consume(self, stream: str, durable: str, *, subject: str, batch: int = 100) -> AsyncIterator[Message]:
        """Messages of a durable JetStream work consumer; survives server restarts and a wiped server."""
        ...

    def follow(self, stream: str, subject: str, *, start_sequence: int | None = None) -> AsyncIterator[Message]:
        """Every stored message of a subject, then new ones as they come (ephemeral, ordered)."""
        ...

    def subscribe(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """Core messages as they come; (subject, data)."""
        ...

    async def close(self) -> None:
        """Drain and disconnect."""
        ...
