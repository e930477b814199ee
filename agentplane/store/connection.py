"""Connections to PostgreSQL, and its errors in our words. The only place that knows psycopg's exception tree."""

import select
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict

from agentplane.errors import AgentplaneError, Broken, Conflict, Denied, Refused, Transient

# a peer that vanished is noticed in seconds, not in the kernel's two hours
DEFAULTS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "options": "-c timezone=UTC -c jit=off",  # no statement here runs long enough to be worth compiling
    "application_name": "agentplane",
}
Row = tuple[Any, ...]


async def connect(conninfo: str) -> AsyncConnection[Row]:
    """A new autocommit connection.

    Raises:
        Transient: code `store.unavailable`: the server is away, starting or stopping.
        Denied: code `store.denied`: wrong role or password.
    """
    given = conninfo_to_dict(conninfo)
    with translated():
        connection = await AsyncConnection.connect(**{**DEFAULTS, **given}, autocommit=True)
    connection.prepare_threshold = 1
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours, once."""
    try:
        yield
    except psycopg.Error as exc:
        raise translate(exc) from exc
    except OSError as exc:
        raise Transient(f"PostgreSQL cannot be reached: {exc}", code="store.unavailable") from exc


def translate(error: psycopg.Error) -> AgentplaneError:  # noqa: C901, PLR0911 - one line per class of error
    """What an error of the driver or the server means to a caller. Parameters and rows are never repeated."""
    words = _words(error)
    match error:
        case errors.InsufficientPrivilege() | errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            return Denied(words, code="store.denied", hint="which role does this process connect as?")
        case (
            errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName() | errors.UndefinedColumn()
        ):
            return Broken(words, code="store.schema", hint="the database is not migrated")
        case errors.InvalidCatalogName():
            return Broken(words, code="store.schema", hint="the database does not exist; create and migrate it")
        case errors.FeatureNotSupported() if "cached plan" in words:
            return Transient(words, code="store.plan", hint="a table has other columns than before; ask again")
        case errors.DiskFull() | errors.OutOfMemory():
            return Transient(words, delay_s=5.0, code="store.full", hint="free space on the database's disk")
        case errors.LockNotAvailable():
            hint = "who holds it: SELECT pid, query FROM pg_stat_activity WHERE state <> 'idle'; nothing was changed"
            return Transient(words, code="store.locked", hint=hint)
        case errors.InvalidSqlStatementName():
            return Transient(words, code="store.unavailable", hint="prepared statements need sessions of their own")
        case errors.RestrictViolation():
            return Refused(words, code="store.append-only")
        case errors.UniqueViolation() | errors.SerializationFailure() | errors.DeadlockDetected():
            return Conflict(words, code="store.conflict")
        case errors.IntegrityError() | errors.DataError():
            return Refused(words, code="store.constraint")
        case psycopg.OperationalError() | psycopg.InterfaceError():
            return _unavailable(words)
    return Broken(words, code="store.broken")


def _unavailable(words: str) -> AgentplaneError:
    if "no password supplied" in words:  # libpq passes over a password file that it cannot use
        hint = "its password file (passfile) is missing, open to others (chmod 600), or without a line for this user"
        return Denied(words, code="store.denied", hint=hint)
    if "password authentication failed" in words or "no pg_hba.conf entry" in words:
        return Denied(words, code="store.denied", hint="which role does this process connect as?")
    if words.endswith("does not exist") and "database" in words:
        return Broken(words, code="store.schema", hint="the database does not exist; create and migrate it")
    return Transient(words, code="store.unavailable", hint="is PostgreSQL running?")


def _words(error: psycopg.Error) -> str:
    """The server's first line. Its DETAIL, which may quote a row, stays unsaid."""
    if primary := error.diag.message_primary:
        return f"PostgreSQL: {primary}"
    # of the driver's own words what it found last; lines that begin with a tab go on about the one before
    said = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
    return f"PostgreSQL: {(said or [type(error).__name__])[-1][:300]}"


def _hung_up(connection: AsyncConnection[Row]) -> bool:
    """Whether the server is gone from a connection that waits for us: it restarted, or ended this session."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)
    return bool(poll.poll(0))


class Link:
    """One connection that is opened when needed and dropped when it broke."""

    def __init__(self, conninfo: str, *, durable: bool = True) -> None:
        """`durable` False: a crash of the server may cost the last commits, for what can be made again."""
        self._conninfo = conninfo
        self._durable = durable
        self._connection: AsyncConnection[Row] | None = None

    async def connection(self) -> AsyncConnection[Row]:
        """The open connection, or a new one. Raises as `connect`."""
        if self._connection is not None and not self._connection.closed and _hung_up(self._connection):
            await self.drop()
        if self._connection is None or self._connection.closed:
            self._connection = await connect(self._conninfo)
            if not self._durable:
                await self._connection.execute("SET synchronous_commit TO off")
        return self._connection

    @property
    def idle(self) -> AsyncConnection[Row] | None:
        """The connection if it is open."""
        return None if self._connection is None or self._connection.closed else self._connection

    async def drop(self) -> None:
        """Forget the connection; whatever it was doing is rolled back by the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def use(self) -> AsyncIterator[AsyncConnection[Row]]:
        """The connection for a block of statements; a block that fails in the driver leaves none behind."""
        with translated():
            try:
                yield await self.connection()
            except psycopg.Error as exc:
                await self._recover(exc)
                raise
            except BaseException:  # cancelled in mid-air: the protocol's state is unknown
                await self.drop()
                raise

    async def _recover(self, error: psycopg.Error) -> None:
        """Keep a connection that only had a statement refused."""
        connection = self._connection
        # with what was prepared for a table that has other columns now, nothing more can be done than begin anew
        broken = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.FeatureNotSupported)
        if connection is None or connection.closed or connection.broken or broken:
            await self.drop()
            return
        try:
            await connection.rollback()
        except psycopg.Error:
            await self.drop()
