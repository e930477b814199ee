"""An outbox is a cursor over the log: where the relay stands, and the lock that makes it the only one.

The lock belongs to the connection that also saves the position. A relay that lost its connection has lost both, so
two relays never move one cursor.
"""

from typing import Any

import msgspec
from psycopg import AsyncConnection

from agentplane.errors import Transient
from agentplane.store import sql
from agentplane.store.connection import Link, Row


class Place(msgspec.Struct, frozen=True):
    """How far the log has been handed on, and to which incarnation of the broker's stream."""

    position: int = 0  # sequence of the last event the broker has acknowledged
    identity: str | None = None  # None: never published


class OutboxCursor:
    """The cursor of one name in `log.outbox_cursor`."""

    def __init__(self, conninfo: str, name: str) -> None:
        self._link = Link(conninfo)
        self._name = name
        self._holder: AsyncConnection[Row] | None = None
        self._place = Place()

    async def claim(self) -> Place | None:
        """Where this relay stands; None while another one holds the cursor. Raises Transient."""
        async with self._link.use() as connection:
            if connection is self._holder:
                return self._place
            self._holder = None
            await connection.execute("SET synchronous_commit TO off")  # an old position only repeats some messages
            if not await _first(connection, sql.TRY_RELAY_LOCK, self._name):
                return None
            found = await connection.execute(sql.CURSOR, [self._name])
            row = await found.fetchone()
            self._place = Place(int(row[0]), row[1]) if row else Place()
            self._holder = connection
        return self._place

    async def save(self, place: Place) -> None:
        """Keep a new position, forward or (for a new stream) back. Raises Transient: the claim may be lost."""
        async with self._link.use() as connection:
            if connection is not self._holder:
                raise Transient("the outbox cursor is no longer ours", code="store.unavailable")
            await connection.execute(sql.SET_CURSOR, [self._name, place.position, place.identity])
            self._place = place

    async def close(self) -> None:
        """Give the cursor up."""
        self._holder = None
        await self._link.drop()


async def _first(connection: AsyncConnection[Row], statement: str, *parameters: object) -> Any:  # noqa: ANN401 - one column
    found = await connection.execute(statement.encode(), parameters)
    row = await found.fetchone()
    return row[0] if row else None
