"""Reading the log. Never locks: commit order is sequence order, so whatever a reader sees is a prefix without gaps."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final, LiteralString

from psycopg import AsyncConnection

from agentplane.errors import Transient
from agentplane.events.model import StoredEvent, StreamId
from agentplane.store import sql
from agentplane.store.connection import Link, Row
from agentplane.store.pipeline import announced
from agentplane.store.scanning import Lean, scan

MAX_PAGE: Final = 10_000
_FIND: Final[LiteralString] = sql.READ.split(" WHERE ", maxsplit=1)[0] + " WHERE id = ANY(%b) ORDER BY sequence"


class LogReader:
    """Pages of the log and of streams, over one connection of its own; any role that may SELECT will do."""

    def __init__(self, conninfo: str, *, poll_s: float = 1.0) -> None:
        """`poll_s`: `wakeups` yields at least this often."""
        self._conninfo = conninfo
        self._link = Link(conninfo)
        self._poll_s = poll_s
        self._turn = asyncio.Lock()

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order; at most `limit`, and never more than 10,000. Raises Transient."""
        return await self._fetch(sql.READ, (after, min(limit, MAX_PAGE)))

    async def read_stream(self, stream: StreamId, after_version: int = 0) -> tuple[StoredEvent, ...]:
        """One stream's events in order. Raises Transient."""
        return await self._fetch(
            sql.READ_STREAM, (stream.tenant, stream.kind, stream.namespace, stream.name, after_version)
        )

    async def find(self, *ids: uuid.UUID) -> tuple[StoredEvent, ...]:
        """The events with these ids, as far as there are any, in order. Raises Transient."""
        return await self._fetch(_FIND, (list(ids),))

    async def scan(self, payload: Any, *, after: int = 0, upto: int | None = None) -> AsyncIterator[list[Lean]]:  # noqa: ANN401 - any type for msgspec
        """Everything after a sequence, for a fold over much of the log: see agentplane.store.scanning.

        Raises:
            Transient. Refused: code `event.payload`: data are not of the type `payload`.
        """
        if upto is None:
            upto = await self.head()
        link = Link(self._conninfo)  # its own: pages are read meanwhile, and one that is left early is dropped
        try:
            async with link.use() as connection:
                async for events in scan(connection, payload, after=after, upto=upto):
                    yield events
        finally:
            await link.drop()

    async def head(self) -> int:
        """The last sequence; 0 for an empty log. Raises Transient."""
        async with self._turn, self._link.use() as connection:
            row = await (await connection.execute(sql.HEAD)).fetchone()
        return int(row[0]) if row else 0

    async def wakeups(self) -> AsyncIterator[None]:
        """Yield when a commit was announced, and at least every `poll_s`, also while the database is away."""
        link = Link(self._conninfo)
        listening: AsyncConnection[Row] | None = None
        try:
            while True:
                try:
                    listening = await self._next_announcement(link, listening)
                except Transient:
                    await asyncio.sleep(self._poll_s)
                yield
        finally:
            await link.drop()

    async def close(self) -> None:
        """Disconnect."""
        await self._link.drop()

    async def _next_announcement(self, link: Link, listening: AsyncConnection[Row] | None) -> AsyncConnection[Row]:
        """Return at the next announcement or after `poll_s`; at once after LISTEN, as something may precede it."""
        async with link.use() as connection:
            if connection is not listening:
                await connection.execute(f"LISTEN {sql.CHANNEL}")
                return connection
            await announced(connection, self._poll_s)
            return connection

    async def _fetch(self, statement: LiteralString, parameters: tuple[object, ...]) -> tuple[StoredEvent, ...]:
        async with self._turn, self._link.use() as connection:
            found = await connection.execute(statement, parameters, binary=True)
            return tuple(map(sql.stored_event, await found.fetchall()))
