"""Reading tables of read models for one tenant at a time, as the read-only role, whichever version's rows are served.

Every transaction names its tenant; row-level security shows it nothing else, whatever a statement forgets. It also asks
what version the rows are of: a release that is being started shows those of the release before, where it can read them.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString, TypeVar

import msgspec
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from agentplane.errors import AgentplaneError, Transient
from agentplane.projections.engine import PROJECTIONS, Projection
from agentplane.projections.notices import consult
from agentplane.projections.status import Status
from agentplane.projections.upgrades import readable
from agentplane.store.connection import DEFAULTS, Link, Row
from agentplane.store.fair_links import CONNECTIONS, PATIENCE_S, FairLinks
from agentplane.store.view_status import read_status

_SERVED: Final[LiteralString] = "SELECT version, readable_from FROM views.checkpoints WHERE projection = %s"
_TENANT: Final[LiteralString] = "SELECT set_config('agentplane.tenant', %s, true)"
# said of a table that has changed while we asked, or that has another version's columns
_CHANGED: Final = {"store.schema", "store.plan"}

T = TypeVar("T")


class _UnreadableError(Exception):
    """Rows of another version that this program cannot read."""


class TenantReader:
    """Statements of one tenant. Everything raises Transient, Denied or Broken as agentplane.store.connection says."""

    def __init__(
        self,
        conninfo: str,
        *,
        connections: int = CONNECTIONS,
        projections: Iterable[Projection] = tuple(PROJECTIONS.values()),
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`projections`: what this program keeps, so that `status` tells what of it is not served yet.

        `patience_s`: how long a question waits for one of the connections, before it is Transient, code `query.busy`,
        and for somebody's lock, before code `store.locked`; less than those who ask wait for an answer.
        """
        self._wanted = {each.name: each.version for each in projections}
        bounded = _with_options(conninfo, f"-c lock_timeout={max(1, round(patience_s * 1000))}")
        self._all = [Link(bounded) for _ in range(connections)]
        self._links = FairLinks(self._all, patience_s=patience_s)

    async def rows(
        self, tenant: str, statement: LiteralString, parameters: Sequence[object], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        """All rows of one statement, in a transaction that names the tenant."""
        async with self._connection(tenant) as connection, connection.transaction():
            await connection.execute(_TENANT, [tenant])
            return await (await connection.execute(statement, parameters, binary=binary)).fetchall()

    async def view(
        self,
        tenant: str,
        projection: Projection,
        statement: LiteralString,
        parameters: Sequence[object],
        read: Callable[[Row], T],
        *,
        other: Callable[[Row], T] | None = None,
    ) -> list[T]:
        """What `read` makes of each row of a projection's table; `other`, where they are another version's.

        Raises:
            Transient: codes `query.rebuilding`, `query.outdated`: rows of another version that cannot be read here.
        """
        return (await self.versioned(tenant, projection, statement, parameters, read, other=other))[0]

    async def versioned(
        self,
        tenant: str,
        projection: Projection,
        statement: LiteralString,
        parameters: Sequence[object],
        read: Callable[[Row], T],
        *,
        other: Callable[[Row], T] | None = None,
    ) -> tuple[list[T], int]:
        """As `view`, and the version of the rows."""
        consult(projection.name)
        try:
            return await self._read(tenant, projection, statement, parameters, (read, other or read))
        except AgentplaneError as exc:
            if exc.code not in _CHANGED:
                raise
        try:  # whatever changed has changed by now
            return await self._read(tenant, projection, statement, parameters, (read, other or read))
        except AgentplaneError as exc:
            if exc.code not in _CHANGED:
                raise
            raise await self._unreadable(projection) or exc from exc

    async def status(self) -> tuple[Status, ...]:
        """How the projections do."""
        async with self._connection("") as connection:
            return await read_status(connection, self._wanted)

    async def close(self) -> None:
        """Disconnect."""
        for link in self._all:
            await link.drop()

    async def _read(
        self,
        tenant: str,
        projection: Projection,
        statement: LiteralString,
        parameters: Sequence[object],
        reads: tuple[Callable[[Row], T], Callable[[Row], T]],
    ) -> tuple[list[T], int]:
        rows, version, readable_from = await self._with_version(tenant, projection.name, statement, parameters)
        try:
            return _understood(projection, rows, (version, readable_from), reads), version
        except _UnreadableError as exc:
            # the switch may have come since: then the next question finds today's rows
            raise await self._unreadable(projection) or _rebuilding(projection.name, 99) from exc

    async def _with_version(
        self, tenant: str, name: str, statement: LiteralString, parameters: Sequence[object]
    ) -> tuple[list[Row], int, int]:
        """Rows and what they are of: the table cannot be another one's before this transaction ends."""
        async with self._connection(tenant) as connection, connection.pipeline(), connection.transaction():
            await connection.execute(_TENANT, [tenant])
            asked = await connection.execute(statement, parameters)
            served = await connection.execute(_SERVED, [name])
            rows, found = await asked.fetchall(), await served.fetchone()
        version, readable_from = (int(found[0]), int(found[1])) if found else (0, 0)
        return rows, version, readable_from

    async def _unreadable(self, projection: Projection) -> AgentplaneError | None:
        """Why rows cannot be read; None: they are of our version."""
        found = next((each for each in await self.status() if each.projection == projection.name), None)
        if found is None:
            return _rebuilding(projection.name, 0)
        if found.version > projection.version:
            return _outdated(projection, found.version)
        if found.version == projection.version:
            return None
        return _rebuilding(projection.name, found.building.percent if found.building is not None else 0)

    @asynccontextmanager
    async def _connection(self, tenant: str) -> AsyncIterator[AsyncConnection[Row]]:
        async with self._links.use(tenant) as link, link.use() as connection:
            yield connection


def _with_options(conninfo: str, more: str) -> str:
    """The same database, with settings beside those that are given, or ours."""
    given = conninfo_to_dict(conninfo).get("options") or DEFAULTS["options"]
    return make_conninfo(conninfo, options=f"{given} {more}")


def _understood(
    projection: Projection,
    rows: list[Row],
    served: tuple[int, int],
    reads: tuple[Callable[[Row], T], Callable[[Row], T]],
) -> list[T]:
    """The rows as they are read here. `served`: their version, and from which one on their programs mean the same."""
    version, readable_from = served
    if version == projection.version:
        return list(map(reads[0], rows))
    if not readable(projection.version, projection.readable_from, version, readable_from):
        raise _UnreadableError(f"rows of version {version}")
    try:
        return list(map(reads[1], rows))
    except msgspec.DecodeError as exc:
        raise _UnreadableError(f"rows of version {version}: {exc}") from exc


def _rebuilding(name: str, percent: int) -> Transient:
    return Transient(
        f"the read model {name} is being rebuilt for this release, {percent} %",
        code="query.rebuilding",
        delay_s=5.0,
        hint="this release cannot read its former rows; `agentplane projections status` says how far it is",
    )


def _outdated(projection: Projection, served: int) -> Transient:
    return Transient(
        f"the read model {projection.name} is a newer release's (version {served}), and this query service reads "
        f"version {projection.version}",
        code="query.outdated",
        delay_s=1.0,
        hint="ask again: a newer projector beside it may answer; upgrade this one",
    )
