"""Reading the read models for one tenant at a time, as the read-only role.

Every transaction names its tenant; row-level security shows it nothing else, whatever a statement here forgets.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import msgspec
from psycopg import AsyncConnection

from agentplane.domains.resource import Resource
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.run_view import RunSummary, RunView
from agentplane.projections.status import Status
from agentplane.store.connection import Link, Row
from agentplane.store.views import read_status


class ViewReader:
    """Answers for one tenant. Everything raises Transient, Denied or Broken as agentplane.store.connection says."""

    def __init__(self, conninfo: str, *, connections: int = 3) -> None:
        self._links: asyncio.Queue[Link] = asyncio.Queue()
        self._all = [Link(conninfo) for _ in range(connections)]
        for link in self._all:
            self._links.put_nowait(link)
        # whatever one tenant asks, a connection is left for the others
        self._shares: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(max(1, connections - 1)))

    async def runs(
        self, tenant: str, *, limit: int, before: int | None, state: str | None, lane: str | None, executor: str | None
    ) -> tuple[RunSummary, ...]:
        """Summaries, newest first."""
        rows = await self.rows(
            tenant,
            "SELECT summary FROM views.runs WHERE tenant = %s AND (%s::bigint IS NULL OR first_sequence < %s) "
            "AND (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR lane = %s) "
            "AND (%s::text IS NULL OR executor = %s) ORDER BY first_sequence DESC LIMIT %s",
            (tenant, before, before, state, state, lane, lane, executor, executor, limit),
        )
        return tuple(msgspec.json.decode(row[0], type=RunSummary) for row in rows)

    async def run_names(self, tenant: str, prefix: str, limit: int) -> tuple[str, ...]:
        """Names of runs that begin with a prefix, in order; only the run itself where one has exactly that name."""
        rows = await self.rows(
            tenant,
            "SELECT name FROM views.runs WHERE tenant = %s AND name ^@ %s ORDER BY name LIMIT %s",
            (tenant, prefix, limit),
        )
        names = tuple(str(row[0]) for row in rows)
        return (prefix,) if prefix in names else names

    async def run(self, tenant: str, name: str) -> RunView | None:
        """A run's view."""
        rows = await self.rows(
            tenant, "SELECT document FROM views.runs WHERE tenant = %s AND name = %s", (tenant, name)
        )
        return msgspec.json.decode(rows[0][0], type=RunView) if rows else None

    async def executors(self, tenant: str) -> tuple[ExecutorView, ...]:
        """All executors, in order of name."""
        rows = await self.rows(tenant, "SELECT document FROM views.executors ORDER BY name", ())
        return tuple(msgspec.json.decode(row[0], type=ExecutorView) for row in rows)

    async def evidence(self, tenant: str, run: str, after: int, limit: int) -> tuple[EvidenceRow, ...]:
        """Envelopes of a run with a sequence > after, in order."""
        rows = await self.rows(
            tenant,
            "SELECT document FROM views.evidence WHERE tenant = %s AND run = %s AND place > %s ORDER BY place LIMIT %s",
            (tenant, run, f"{after:019d}", limit),
        )
        return tuple(msgspec.json.decode(row[0], type=EvidenceRow) for row in rows)

    async def resources(
        self, tenant: str, *, kind: str, namespace: str | None, after: str, limit: int
    ) -> tuple[Resource, ...]:
        """Resources of a kind that exist, in order of namespace and name. `after`: `<namespace>/<name>`."""
        namespace_after, _, name_after = after.partition("/")
        rows = await self.rows(
            tenant,
            "SELECT document FROM views.resources WHERE tenant = %s AND kind = %s AND present "
            "AND (%s::text IS NULL OR namespace = %s) AND (namespace, name) > (%s, %s) "
            "ORDER BY namespace, name LIMIT %s",
            (tenant, kind, namespace, namespace, namespace_after, name_after, limit),
        )
        return tuple(msgspec.json.decode(row[0], type=Resource) for row in rows)

    async def resource(self, tenant: str, kind: str, namespace: str, name: str) -> Resource | None:
        """One resource, also one that was deleted."""
        rows = await self.rows(
            tenant,
            "SELECT document FROM views.resources WHERE tenant = %s AND kind = %s AND namespace = %s AND name = %s",
            (tenant, kind, namespace, name),
        )
        return msgspec.json.decode(rows[0][0], type=Resource) if rows else None

    async def position(self, projection: str) -> int:
        """How far a projection is."""
        query: LiteralString = "SELECT position FROM views.checkpoints WHERE projection = %s"
        rows = await self.rows("", query, (projection,))
        return int(rows[0][0]) if rows else 0

    async def status(self) -> tuple[Status, ...]:
        """How the projections do."""
        async with self._connection() as connection:
            return await read_status(connection)

    async def close(self) -> None:
        """Disconnect."""
        for link in self._all:
            await link.drop()

    async def rows(
        self, tenant: str, statement: LiteralString, parameters: Sequence[object], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        """All rows of one statement, in a transaction that names the tenant."""
        async with self._shares[tenant], self._connection() as connection, connection.transaction():
            await connection.execute("SELECT set_config('agentplane.tenant', %s, true)", [tenant])
            return await (await connection.execute(statement, parameters, binary=binary)).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Row]]:
        link = await self._links.get()
        try:
            async with link.use() as connection:
                yield connection
        finally:
            self._links.put_nowait(link)
