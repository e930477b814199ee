"""The short way for one row when nobody else appends: from the caller to the socket, and from the socket to the answer.

No task is woken and no wait is set up in between; the socket stays watched from one row to the next. Whatever does
not go as expected ends the lane, and the row takes the long way (agentplane.store.batch), which finds out what is true.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import ExecStatus

from agentplane.store import wire
from agentplane.store.connection import Row

ANSWER_TIMEOUT_S: Final = 30.0

Done = Callable[[bool], None]


class Lane:
    """One connection, one INSERT at a time. Leave it (`leave`) before the connection is used in any other way."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: AsyncConnection[Row] | None = None
        self._socket = -1
        self._done: Done | None = None
        self._sent_at = 0.0
        self._watch: asyncio.TimerHandle | None = None

    def send(self, connection: AsyncConnection[Row], values: Sequence[bytes | None], done: Done) -> bool:
        """Send a row; `done` hears whether it is durable. False: not sent, take the long way.

        After `done(False)` it may or may not be stored, and the lane has been left.
        """
        if not wire.is_prepared(connection):
            return False
        pgconn = connection.pgconn
        try:
            if self._connection is not connection:
                self._enter(connection)
            wire.send_insert(connection, values)
            if pgconn.flush():
                raise psycopg.OperationalError("the socket is full")
        except psycopg.Error:
            self._fail()
            return False
        self._done = done
        self._sent_at = self._loop.time() if self._loop is not None else 0.0
        return True

    def leave(self) -> None:
        """Stop watching the socket."""
        connection, self._connection = self._connection, None
        if self._loop is not None and connection is not None:
            self._loop.remove_reader(self._socket)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _enter(self, connection: AsyncConnection[Row]) -> None:
        self.leave()
        self._loop = asyncio.get_running_loop()
        self._connection, self._socket = connection, connection.pgconn.socket
        self._loop.add_reader(self._socket, self._readable)
        self._watch = self._loop.call_later(ANSWER_TIMEOUT_S, self._overdue)

    def _readable(self) -> None:
        connection, done = self._connection, self._done
        if connection is None:
            return
        pgconn = connection.pgconn
        try:
            pgconn.consume_input()
            if done is None or pgconn.is_busy():
                return
            result, good = pgconn.get_result(), False
            while result is not None:
                good = result.status == ExecStatus.COMMAND_OK
                result = pgconn.get_result()
        except psycopg.Error:
            good = False
            self._fail()
        self._done = None
        if not good:
            self.leave()
        if done is not None:
            done(good)

    def _overdue(self) -> None:
        """Look at times whether an answer is long overdue: cheaper than a timer for every row."""
        if self._loop is None or self._connection is None:
            return
        self._watch = self._loop.call_later(ANSWER_TIMEOUT_S, self._overdue)
        done = self._done
        if done is not None and self._loop.time() - self._sent_at >= ANSWER_TIMEOUT_S:
            self._done = None
            self._fail()
            done(False)  # noqa: FBT003 - the answer

    def _fail(self) -> None:
        """The protocol's state is unknown: end the connection."""
        connection = self._connection
        self.leave()
        if connection is not None:
            connection.pgconn.finish()
