"""Rows into the log, in whichever statement suits their number: alone as a transaction, or at the end of one."""

from collections.abc import Callable

from psycopg import AsyncConnection

from agentplane.store import rows
from agentplane.store.connection import Row
from agentplane.store.entry import Entry
from agentplane.store.wire import Copy, insert, insert_and_commit


async def write(connection: AsyncConnection[Row], entries: list[Entry], sent: Callable[[], None]) -> None:
    """Write, in a transaction that is the one statement. One row: a prepared INSERT; more: a binary COPY."""
    if len(entries) == 1:
        await insert(connection, rows.values(entries[0]), sent)
    elif entries:
        await _copy(connection, rows.copy_rows(entries), sent)


async def write_and_commit(connection: AsyncConnection[Row], entries: list[Entry]) -> None:
    """Write, and end the transaction that was begun. COPY cannot travel in a pipeline, an INSERT and its COMMIT can."""
    if len(entries) == 1:
        return await insert_and_commit(connection, rows.values(entries[0]))
    if entries:
        await _copy(connection, rows.copy_rows(entries))
    await connection.execute("COMMIT")
    return None


async def _copy(connection: AsyncConnection[Row], encoded: bytes, sent: Callable[[], None] = lambda: None) -> None:
    copy = Copy(connection)
    copy.ask()
    await copy.begin()
    copy.send(encoded)
    await copy.finish(sent)
