"""What a batch has to know of the log before it can be placed: lengths of streams, and ids that are stored."""

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection

from agentplane.events.model import StreamId
from agentplane.ids import EventId
from agentplane.store import sql
from agentplane.store.connection import Row
from agentplane.store.entry import Entry, Request


async def ask_versions(connection: AsyncConnection[Row], streams: list[StreamId]) -> Any:  # noqa: ANN401 - a cursor or None
    """Ask how long streams are; in a pipeline the answer comes later."""
    if not streams:
        return None
    columns = [[getattr(stream, column) for stream in streams] for column in ("tenant", "kind", "namespace", "name")]
    return await connection.execute(sql.VERSIONS, columns, binary=True)


async def versions_of(asked: Any, streams: Iterable[StreamId]) -> dict[StreamId, int]:  # noqa: ANN401 - a cursor or None
    """The answer to `ask_versions`; 0: there is no such stream."""
    if asked is None:
        return {}
    return dict(zip(streams, [row[0] for row in await asked.fetchall()], strict=True))


async def known(connection: AsyncConnection[Row], requests: Sequence[Request]) -> dict[EventId, Entry]:
    """Which of the calls' events are stored already, by their ids."""
    ids = [prepared.event.id for request in requests for events in request.prepared for prepared in events]
    found = await connection.execute(sql.KNOWN, [ids], binary=True)
    return {entry.stored.event.id: entry for entry in map(sql.entry_of, await found.fetchall())}
