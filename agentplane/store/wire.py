"""An append's two statements, spoken to libpq directly: a prepared INSERT of one row, a COPY of many.

The driver's cursors cost more than the server does for one row. Errors are psycopg's, as everywhere below
`connection.translated`; whoever is cancelled here must drop the connection: the protocol's state is then unknown.
"""

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, errors
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from agentplane.store import rows, sql
from agentplane.store.connection import Row
from agentplane.store.waiting import ready

_BINARY: Final = (1,) * rows.FIELDS
_GOOD: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)

_numbers = itertools.count(1)
_names: WeakKeyDictionary[AsyncConnection[Row], bytes] = WeakKeyDictionary()  # of our INSERT, where it is prepared


def is_prepared(connection: AsyncConnection[Row]) -> bool:
    """Whether `send_insert` may be used."""
    return connection in _names


def forget(connection: AsyncConnection[Row] | None) -> None:
    """After an error: the driver drops all prepared statements when it rolls back, so do not count on ours."""
    if connection is not None:
        _names.pop(connection, None)


def send_insert(connection: AsyncConnection[Row], values: Sequence[bytes | None]) -> None:
    """Hand one row to libpq, whose results whoever calls this reads."""
    connection.pgconn.send_query_prepared(_names[connection], values, _BINARY)


async def insert(connection: AsyncConnection[Row], values: Sequence[bytes | None], sent: Callable[[], None]) -> None:
    """One row, in the transaction that is open or in one of its own. `sent` is called while the server works."""
    pgconn = connection.pgconn
    await _prepare(connection)
    send_insert(connection, values)
    pgconn.flush()
    sent()
    await _finished(pgconn)


async def insert_and_commit(connection: AsyncConnection[Row], values: Sequence[bytes | None]) -> None:
    """One row at the end of the transaction that is open, in one round trip with its COMMIT."""
    pgconn = connection.pgconn
    await _prepare(connection)
    pgconn.enter_pipeline_mode()
    send_insert(connection, values)
    pgconn.send_query_params(b"COMMIT", None)
    pgconn.pipeline_sync()
    failed = None
    while (result := await _result(pgconn)) is None or result.status != ExecStatus.PIPELINE_SYNC:
        if failed is None and result is not None and result.status not in _GOOD:
            failed = result
    pgconn.exit_pipeline_mode()
    if failed is not None:
        raise errors.error_from_result(failed, "utf-8")


async def _prepare(connection: AsyncConnection[Row]) -> None:
    if connection not in _names:
        name = b"agentplane_insert_%d" % next(_numbers)
        connection.pgconn.send_prepare(name, sql.INSERT.encode())
        await _finished(connection.pgconn)
        _names[connection] = name


class Copy:
    """Rows on their way into the log. Nothing of them is stored unless `finish` returns."""

    def __init__(self, connection: AsyncConnection[Row], statement: bytes = sql.COPY.encode()) -> None:
        """`statement` may hold others before and after the COPY."""
        self._pgconn = connection.pgconn
        self._statement = statement

    def is_on(self, connection: AsyncConnection[Row]) -> bool:
        """Whether this is the connection; that of an earlier one may have been replaced."""
        return self._pgconn is connection.pgconn

    def ask(self) -> None:
        """Ask for it; the server takes the append lock now."""
        self._pgconn.send_query(self._statement)
        self._pgconn.flush()

    async def begin(self) -> None:
        """Wait until the server takes rows."""
        self._pgconn.consume_input()  # the answer may be here already
        result = await _result(self._pgconn)
        while result is not None and result.status == ExecStatus.COMMAND_OK:  # of a statement before the COPY
            result = await _result(self._pgconn)
        if result is None or result.status != ExecStatus.COPY_IN:
            await _finished(self._pgconn, result)
            raise errors.ProtocolViolation("COPY was not begun")

    def send(self, encoded: bytes) -> None:
        """Hand on all rows (agentplane.store.rows.framed); what the socket does not take stays in memory."""
        if self._pgconn.put_copy_data(encoded) <= 0:
            raise errors.OutOfMemory("libpq has no room for the rows")
        self._pgconn.put_copy_end()
        self._pgconn.flush()

    async def abandon(self, why: bytes) -> None:
        """Take all of it back, before `send`."""
        self._pgconn.put_copy_end(why)
        while await _result(self._pgconn) is not None:
            pass

    async def finish(self, sent: Callable[[], None] = lambda: None) -> None:
        """Wait until the statement is done. `sent` is called while the server works."""
        sent()
        await _finished(self._pgconn)


class Statements:
    """One transaction of several COPYs, so that the database works while the next rows are made.

    It inserts the rows of a binary COPY only when it has a thousand of them, or all.
    """

    def __init__(self, connection: AsyncConnection[Row]) -> None:
        self._connection = connection
        self._copy: Copy | None = None

    async def send(self, encoded: bytes, *, last: bool) -> None:
        """Hand on some rows, once those before are in. `last`: commit after these."""
        before, self._copy = self._copy, None
        if before is not None:
            await before.finish()
        statement = sql.COPY if before is not None else f"BEGIN; {sql.COPY}"
        copy = Copy(self._connection, (f"{statement}; COMMIT" if last else statement).encode())
        copy.ask()
        await copy.begin()
        copy.send(encoded)
        self._copy = copy

    async def finish(self, sent: Callable[[], None]) -> None:
        """Wait until all is durable. `sent` is called while the server works."""
        if self._copy is not None:
            await self._copy.finish(sent)

    async def take_back(self) -> None:
        """Undo all of it."""
        if self._copy is not None:
            await self._copy.finish()
        await self._connection.rollback()


async def copy_out(connection: AsyncConnection[Row], statement: bytes) -> AsyncIterator[bytes]:
    """The rows of a COPY … TO STDOUT as they come. Whoever stops before the end must drop the connection."""
    pgconn = connection.pgconn
    pgconn.send_query(statement)
    result = await _result(pgconn)
    if result is None or result.status != ExecStatus.COPY_OUT:
        await _finished(pgconn, result)
        raise errors.ProtocolViolation("COPY was not begun")
    while True:
        length, row = pgconn.get_copy_data(1)  # without waiting
        if length > 0:
            yield bytes(row)
        elif length < 0:
            await _finished(pgconn)
            return
        else:
            await ready(pgconn.socket, writable=False)
            pgconn.consume_input()


async def _finished(pgconn: PGconn, result: PGresult | None = None) -> None:
    """Read all results of a statement. Raises the first that is an error."""
    failed = None
    result = result or await _result(pgconn)
    while result is not None:
        if result.status not in _GOOD and failed is None:
            failed = result
        result = await _result(pgconn)
    if failed is not None:
        raise errors.error_from_result(failed, "utf-8")


async def _result(pgconn: PGconn) -> PGresult | None:
    """The next result; None after the last. Raises psycopg.OperationalError: the connection broke."""
    while pgconn.is_busy():
        unsent = pgconn.flush()
        await ready(pgconn.socket, writable=bool(unsent))
        pgconn.consume_input()
    return pgconn.get_result()
