"""Asking the query service: what the command line and other people's tools use. Needs a bus and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec

from agentplane.bus import subjects
from agentplane.errors import Transient
from agentplane.events.cloudevents import decode_stored
from agentplane.events.model import StoredEvent
from agentplane.ports import Bus
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.run_view import RunView
from agentplane.projections.status import Rebuilt, Status
from agentplane.queries import protocol as wire

_TIMEOUT_S: Final = 10.0
_REBUILD_TIMEOUT_S: Final = 600.0
_LOOK_AGAIN_S: Final = 0.2

T = TypeVar("T")


class QueryClient:
    """Questions of one tenant. Everything raises what the service raised (agentplane.errors), or Transient."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s

    async def runs(
        self,
        *,
        limit: int = 50,
        before: int | None = None,
        state: str | None = None,
        lane: str | None = None,
        executor: str | None = None,
    ) -> wire.RunsPage:
        """Runs, newest first."""
        wish = wire.RunsList(limit=limit, before=before, state=state, lane=lane, executor=executor)
        return await self._ask(wire.RUNS_LIST, wish, wire.RunsPage)

    async def run(self, run: str, *, min_sequence: int = 0) -> RunView:
        """One run by its name or a unique prefix. Raises NotFound `run.unknown`, Refused `run.ambiguous`."""
        return await self._ask(wire.RUN_GET, wire.RunGet(run=run, min_sequence=min_sequence), RunView)

    async def executors(self) -> tuple[wire.ExecutorLine, ...]:
        """All executors."""
        return (await self._ask(wire.EXECUTORS_LIST, wire.ExecutorsList(), wire.ExecutorsPage)).executors

    async def events(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        kind: str | None = None,
        name: str | None = None,
        type_glob: str | None = None,
    ) -> tuple[tuple[StoredEvent, ...], int | None]:
        """A page of the tenant's events, and where the next one begins (None: no more now)."""
        wish = wire.EventsList(after=after, limit=limit, kind=kind, name=name, type=type_glob)
        page = await self._ask(wire.EVENTS_LIST, wish, wire.EventsPage)
        return tuple(decode_stored(bytes(raw)) for raw in page.events), page.next

    async def evidence(self, run: str) -> tuple[EvidenceRow, ...]:
        """All envelopes of a run in order."""
        rows: list[EvidenceRow] = []
        after: int | None = 0
        while after is not None:
            page = await self._ask(wire.EVIDENCE_GET, wire.EvidenceGet(run=run, after=after), wire.EvidencePage)
            rows.extend(page.rows)
            run, after = page.run, page.next
        return tuple(rows)

    async def logs(self, run: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Console output as it was printed; with `follow` until the run is over."""
        after = 0
        while True:
            page = await self._ask(wire.RUN_LOGS, wire.RunLogs(run=run, after=after), wire.LogsPage)
            for chunk in page.chunks:
                yield chunk
            run, after = page.run, page.next
            if page.chunks:
                continue
            if page.ended or not follow:
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def projections(self) -> tuple[Status, ...]:
        """How the projections do."""
        answer = await self._ask(wire.PROJECTIONS_STATUS, wire.ProjectionsStatus(), wire.ProjectionsPage)
        return answer.projections

    async def rebuild(self, projection: str | None = None) -> tuple[Rebuilt, ...]:
        """Fold one projection (None: all) anew and compare; waits for it."""
        wish = wire.ProjectionsRebuild(projection=projection)
        answer = await self._ask(wire.PROJECTIONS_REBUILD, wish, wire.RebuildPage, timeout_s=_REBUILD_TIMEOUT_S)
        return answer.rebuilt

    async def _ask(self, name: str, wish: msgspec.Struct, type_: type[T], *, timeout_s: float | None = None) -> T:
        subject = subjects.query(self._tenant, name)
        data = await self._bus.request(subject, msgspec.json.encode(wish), timeout_s=timeout_s or self._timeout_s)
        try:
            answer = msgspec.json.decode(data, type=wire.Answer)
            if answer.error is None and bytes(answer.ok):
                return msgspec.json.decode(answer.ok, type=type_)
        except msgspec.DecodeError as exc:
            raise Transient(f"not an answer: {exc}", code="query.protocol", where=subject) from exc
        if answer.error is None:
            raise Transient("an empty answer", code="query.protocol", where=subject)
        raise wire.raised(answer.error)
