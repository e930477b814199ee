"""Many prepared statements in one round trip, spoken to libpq directly.

The driver's own pipeline makes a cursor, a plan of adapters and several waits for each statement, which costs more than
most statements here. Values travel as bytes: text and bytea as they are, everything else in its text form. Errors are
psycopg's, as everywhere below `connection.translated`; whoever is cancelled here must drop the connection.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Final, LiteralString
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, errors
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from agentplane.store.connection import Row
from agentplane.store.waiting import ready

_GOOD: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_BINARY: Final = 1

_numbers = itertools.count(1)
_prepared: WeakKeyDictionary[AsyncConnection[Row], dict[str, bytes]] = WeakKeyDictionary()  # names by statement


_Statement = tuple[LiteralString, Sequence[object]]
_Encoded = tuple[bytes | None, int]  # a value and its form


class Pipeline:
    """Statements for one round trip; their placeholders are %s or %b. Transactions are the caller's statements."""

    def __init__(self, connection: AsyncConnection[Row]) -> None:
        self._connection = connection
        self._names = _prepared.setdefault(connection, {})
        self._waiting: list[_Statement] = []

    def add(self, statement: LiteralString, values: Sequence[object] = ()) -> int:
        """Add a statement; which of the results will be its."""
        self._waiting.append((statement, values))
        return len(self._waiting) - 1

    async def run(self) -> list[PGresult]:
        """All results, in binary form.

        The driver drops every prepared statement when it rolls back: if the first one here is gone for that, all are
        prepared anew and run again.

        Raises:
            psycopg.Error: of the first statement that failed; those after it were not run. What is prepared on this
                connection is no longer counted upon.
        """
        waiting, self._waiting = self._waiting, []
        for attempt in (1, 2):
            wanted, results = await self._exchange(waiting)
            failed = next((result for result in results if result.status not in _GOOD), None)
            if failed is None:
                break
            self._names.clear()
            error = errors.error_from_result(failed, "utf-8")
            gone = failed is results[0] and isinstance(error, errors.InvalidSqlStatementName)
            if not gone or attempt == 2:  # noqa: PLR2004 - the second
                raise error
        return [results[place] for place in itertools.accumulate(wanted, initial=-1)][1:]

    async def _exchange(self, waiting: Sequence[_Statement]) -> tuple[list[int], list[PGresult]]:
        """Send and receive: how many results each statement has, and all results."""
        pgconn = self._connection.pgconn
        encoded = [[_encoded(value) for value in values] for _, values in waiting]  # may fail: nothing is sent yet
        pgconn.enter_pipeline_mode()
        wanted = [self._send(pgconn, each[0], values) for each, values in zip(waiting, encoded, strict=True)]
        pgconn.pipeline_sync()
        results: list[PGresult] = []
        while (result := await _result(pgconn)) is None or result.status != ExecStatus.PIPELINE_SYNC:
            if result is not None:
                results.append(result)
        pgconn.exit_pipeline_mode()
        return wanted, results

    def _send(self, pgconn: PGconn, statement: LiteralString, values: Sequence[_Encoded]) -> int:
        """Hand one to libpq; how many results it has."""
        name = self._names.get(statement)
        fresh = name is None
        if name is None:
            name = self._names[statement] = b"agentplane_%d" % next(_numbers)
            pgconn.send_prepare(name, _numbered(statement))
        pgconn.send_query_prepared(name, [data for data, _ in values], [form for _, form in values], _BINARY)
        return 2 if fresh else 1


def rows(connection: AsyncConnection[Row], result: PGresult) -> list[Row]:
    """A result as the driver's cursors would yield it."""
    transformer = Transformer(connection)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def forget(connection: AsyncConnection[Row]) -> None:
    """After a rollback through the driver, which drops all prepared statements."""
    _prepared.pop(connection, None)


def _numbered(statement: str) -> bytes:
    parts = statement.replace("%b", "%s").split("%s")
    return "".join([part + f"${place}" for place, part in enumerate(parts[:-1], start=1)] + parts[-1:]).encode()


def _encoded(value: object) -> _Encoded:
    match value:
        case None:
            return None, 0
        case bytes():
            return value, _BINARY
        case str():  # binary, so that a NUL is refused instead of ending it
            return value.encode(), _BINARY
        case bool():
            return (b"t" if value else b"f"), 0
        case int():
            return b"%d" % value, 0
        case datetime():
            return value.isoformat().encode(), 0
    raise TypeError(f"no form for a {type(value).__name__}")


async def announced(connection: AsyncConnection[Row], within_s: float) -> None:
    """Return at the next announcement (NOTIFY), or when time is up. However many have gathered count as one.

    Raises:
        psycopg.OperationalError: the connection broke.
    """
    pgconn = connection.pgconn
    if _taken(pgconn):
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await ready(pgconn.socket, writable=False)
    pgconn.consume_input()
    _taken(pgconn)


def _taken(pgconn: PGconn) -> bool:
    found = False
    while pgconn.notifies() is not None:
        found = True
    return found


async def _result(pgconn: PGconn) -> PGresult | None:
    """The next result; None after the last of a statement. Raises psycopg.OperationalError: the connection broke."""
    while pgconn.flush() or pgconn.is_busy():
        await ready(pgconn.socket, writable=bool(pgconn.flush()))
        pgconn.consume_input()
    return pgconn.get_result()
