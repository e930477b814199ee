"""The event store in memory: the same contract, for tests and dry runs. Loses everything when the process ends."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import orjson

from agentplane.clock import Clock, SystemClock
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store.entry import Entry
from agentplane.store.ledger import Ledger
from agentplane.store.prepare import prepare


class MemoryEventStore:
    """`agentplane.ports.EventStore` over a list."""

    def __init__(self, *, clock: Clock | None = None, poll_s: float = 1.0) -> None:
        self._clock = clock or SystemClock()
        self._poll_s = poll_s
        self._log: list[StoredEvent] = []
        self._known: dict[EventId, Entry] = {}
        self._versions: dict[StreamId, int] = {}
        self._changed = asyncio.Condition()

    async def append(self, *appends: Append) -> tuple[StoredEvent, ...]:
        """Store all the given events, or none; see `agentplane.ports.EventStore.append`."""
        request = prepare(appends, self._clock.now()).whole()
        last = self._log[-1].recorded_at if self._log else datetime.min.replace(tzinfo=UTC)
        ledger = Ledger(
            head=len(self._log),
            recorded_at=max(self._clock.now(), last),
            versions={append.stream: self._versions.get(append.stream, 0) for append in appends},
            known={
                prepared.event.id: self._known[prepared.event.id]
                for events in request.prepared
                for prepared in events
                if prepared.event.id in self._known
            },
        )
        placed = ledger.place(request)
        self._keep(ledger)
        async with self._changed:
            self._changed.notify_all()
        return placed

    def _keep(self, ledger: Ledger) -> None:
        for entry in ledger.entries:
            event = msgspec.structs.replace(entry.stored.event, data=orjson.loads(entry.data))
            stored = msgspec.structs.replace(entry.stored, event=event)
            self._log.append(stored)
            self._known[event.id] = msgspec.structs.replace(entry, stored=stored)
        self._versions.update(ledger.versions)

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order, at most `limit`."""
        start = max(after, 0)
        return tuple(self._log[start : start + limit])

    async def read_stream(self, stream: StreamId, after_version: int = 0) -> tuple[StoredEvent, ...]:
        """One stream's events in order."""
        return tuple(s for s in self._log if s.event.stream == stream and s.stream_version > after_version)

    async def find(self, *ids: uuid.UUID) -> tuple[StoredEvent, ...]:
        """The events with these ids, as far as there are any, in order."""
        wanted = frozenset(ids)
        return tuple(stored for stored in self._log if stored.event.id in wanted)

    async def head(self) -> int:
        """The last sequence; 0 for an empty log."""
        return len(self._log)

    async def wakeups(self) -> AsyncIterator[None]:
        """Yields after appends, and at least every `poll_s`."""
        while True:
            yield
            async with self._changed:
                try:
                    async with asyncio.timeout(self._poll_s):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    async def close(self) -> None:
        """Nothing to release."""
