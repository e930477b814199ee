"""What the query service asks of our own read models, for one tenant at a time, as the read-only role."""

from typing import LiteralString

import msgspec

from agentplane.domains.resource import Resource
from agentplane.projections.engine import EVIDENCE, EXECUTORS, RESOURCES, RUNS
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.run_view import RunSummary, RunView
from agentplane.store.versioned import TenantReader


class ViewReader(TenantReader):
    """Answers for one tenant. Everything raises as agentplane.store.versioned says."""

    async def runs(
        self, tenant: str, *, limit: int, before: int | None, state: str | None, lane: str | None, executor: str | None
    ) -> tuple[RunSummary, ...]:
        """Summaries, newest first."""
        found = await self.view(
            tenant,
            RUNS,
            "SELECT summary FROM views.runs WHERE tenant = %s AND (%s::bigint IS NULL OR first_sequence < %s) "
            "AND (%s::text IS NULL OR state = %s) AND (%s::text IS NULL OR lane = %s) "
            "AND (%s::text IS NULL OR executor = %s) ORDER BY first_sequence DESC LIMIT %s",
            (tenant, before, before, state, state, lane, lane, executor, executor, limit),
            lambda row: msgspec.json.decode(row[0], type=RunSummary),
        )
        return tuple(found)

    async def run_names(self, tenant: str, prefix: str, limit: int) -> tuple[str, ...]:
        """Names of runs that begin with a prefix, in order; only the run itself where one has exactly that name."""
        found = await self.view(
            tenant,
            RUNS,
            "SELECT name FROM views.runs WHERE tenant = %s AND name ^@ %s ORDER BY name LIMIT %s",
            (tenant, prefix, limit),
            lambda row: str(row[0]),
        )
        return (prefix,) if prefix in found else tuple(found)

    async def run(self, tenant: str, name: str) -> RunView | None:
        """A run's view."""
        found = await self.view(
            tenant,
            RUNS,
            "SELECT document FROM views.runs WHERE tenant = %s AND name = %s",
            (tenant, name),
            lambda row: msgspec.json.decode(row[0], type=RunView),
        )
        return found[0] if found else None

    async def executors(self, tenant: str) -> tuple[ExecutorView, ...]:
        """All executors, in order of name."""
        statement: LiteralString = "SELECT document FROM views.executors ORDER BY name"
        found = await self.view(
            tenant, EXECUTORS, statement, (), lambda row: msgspec.json.decode(row[0], type=ExecutorView)
        )
        return tuple(found)

    async def evidence(self, tenant: str, run: str, after: int, limit: int) -> tuple[EvidenceRow, ...]:
        """Envelopes of a run with a sequence > after, in order."""
        found = await self.view(
            tenant,
            EVIDENCE,
            "SELECT document FROM views.evidence WHERE tenant = %s AND run = %s AND place > %s ORDER BY place LIMIT %s",
            (tenant, run, f"{after:019d}", limit),
            lambda row: msgspec.json.decode(row[0], type=EvidenceRow),
        )
        return tuple(found)

    async def resources(
        self, tenant: str, *, kind: str, namespace: str | None, after: str, limit: int
    ) -> tuple[Resource, ...]:
        """Resources of a kind that exist, in order of namespace and name. `after`: `<namespace>/<name>`."""
        namespace_after, _, name_after = after.partition("/")
        found = await self.view(
            tenant,
            RESOURCES,
            "SELECT document FROM views.resources WHERE tenant = %s AND kind = %s AND present "
            "AND (%s::text IS NULL OR namespace = %s) AND (namespace, name) > (%s, %s) "
            "ORDER BY namespace, name LIMIT %s",
            (tenant, kind, namespace, namespace, namespace_after, name_after, limit),
            lambda row: msgspec.json.decode(row[0], type=Resource),
        )
        return tuple(found)

    async def resource(self, tenant: str, kind: str, namespace: str, name: str) -> Resource | None:
        """One resource, also one that was deleted."""
        found = await self.view(
            tenant,
            RESOURCES,
            "SELECT document FROM views.resources WHERE tenant = %s AND kind = %s AND namespace = %s AND name = %s",
            (tenant, kind, namespace, name),
            lambda row: msgspec.json.decode(row[0], type=Resource),
        )
        return found[0] if found else None

    async def position(self, projection: str) -> int:
        """How far a projection is."""
        query: LiteralString = "SELECT position FROM views.checkpoints WHERE projection = %s"
        rows = await self.rows("", query, (projection,))
        return int(rows[0][0]) if rows else 0
