"""The event store on PostgreSQL: one writer and one reader connection per process, both opened when first needed."""

import uuid
from collections.abc import AsyncIterator
from typing import Final, Self

from agentplane.clock import Clock, SystemClock
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.store.appender import Appender
from agentplane.store.migrate import check_schema
from agentplane.store.prepare import prepare, prepare_later
from agentplane.store.reader import LogReader

LARGE_EVENTS: Final = 128  # calls of so many are checked while the database takes their first events


class PostgresEventStore:
    """`agentplane.ports.EventStore` over a migrated database."""

    def __init__(self, conninfo: str, *, clock: Clock, poll_s: float = 1.0, patience_s: float = 5.0) -> None:
        """Connects to nothing yet; `open` also checks the schema."""
        self._clock = clock
        self._appender = Appender(conninfo, clock, patience_s=patience_s)
        self._reader = LogReader(conninfo, poll_s=poll_s)

    @classmethod
    async def open(
        cls, conninfo: str, *, clock: Clock | None = None, poll_s: float = 1.0, patience_s: float = 5.0
    ) -> Self:
        """A store over a database whose schema is current.

        `poll_s`: the longest time between two `wakeups`. `patience_s`: how long an append waits for a database that
        is away. A role that may only SELECT can open it; its appends are Denied.

        Raises:
            Transient: the database is away.
            Broken: code `store.schema`: not migrated, or migrated by a newer version.
            Denied: code `store.denied`: wrong role or password.
        """
        await check_schema(conninfo)
        return cls(conninfo, clock=clock or SystemClock(), poll_s=poll_s, patience_s=patience_s)

    async def append(self, *appends: Append) -> tuple[StoredEvent, ...]:
        """Store all the given events in one transaction, or none; see `agentplane.ports.EventStore.append`."""
        count = len(appends[0].events) if len(appends) == 1 else sum([len(each.events) for each in appends])
        check = prepare if count < LARGE_EVENTS else prepare_later
        return await self._appender.append(check(appends, self._clock.now()), count)

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order, at most `limit`. Raises Transient."""
        return await self._reader.read(after, limit)

    async def read_stream(self, stream: StreamId, after_version: int = 0) -> tuple[StoredEvent, ...]:
        """One stream's events in order. Raises Transient."""
        return await self._reader.read_stream(stream, after_version)

    async def find(self, *ids: uuid.UUID) -> tuple[StoredEvent, ...]:
        """The events with these ids, as far as there are any, in order. Raises Transient."""
        return await self._reader.find(*ids)

    async def head(self) -> int:
        """The last sequence; 0 for an empty log. Raises Transient."""
        return await self._reader.head()

    def wakeups(self) -> AsyncIterator[None]:
        """Yields when there may be something new; polls as well."""
        return self._reader.wakeups()

    async def close(self) -> None:
        """Store what waits, then disconnect."""
        await self._appender.close()
        await self._reader.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
