"""Asking the query service: what the command line and other people's tools use. Needs a bus and nothing else."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from agentplane.errors import Transient
from agentplane.events.cloudevents import decode_stored
from agentplane.events.model import StoredEvent
from agentplane.history.places import Place
from agentplane.ports import Bus
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.run_view import RunView
from agentplane.projections.status import Rebuilt, Status
from agentplane.queries import protocol as wire
from agentplane.queries.asking import ask
from agentplane.runs.executors import SYSTEM_TENANT

_TIMEOUT_S: Final = 10.0
_REBUILD_TIMEOUT_S: Final = 600.0
_LOOK_AGAIN_S: Final = 0.2
_LOOK_S: Final = 1.0
_FAILED_LOOKS: Final = 3

T = TypeVar("T")


class EventsFound(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events as protocol.EventsPage has it, read."""

    events: tuple[StoredEvent, ...]
    next: int | None
    seen: int
    older: bool


class QueryClient:
    """Questions of one tenant. Everything raises what the service raised (agentplane.errors), or Transient."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = _TIMEOUT_S, look_s: float = _LOOK_S) -> None:
        """`look_s`: between looks whether somebody who works on a long answer is still there."""
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s
        self._look_s = look_s

    async def runs(
        self,
        *,
        limit: int = 50,
        before: int | None = None,
        state: str | None = None,
        lane: str | None = None,
        executor: str | None = None,
        at: Place | None = None,
    ) -> wire.RunsPage:
        """Runs, newest first; with `at` as they were there."""
        wish = wire.RunsList(limit=limit, before=before, state=state, lane=lane, executor=executor, at=at)
        return await self._ask(wire.RUNS_LIST, wish, wire.RunsPage)

    async def run(self, run: str, *, min_sequence: int = 0, at: Place | None = None) -> RunView:
        """One run by its name or a unique prefix. Raises NotFound `run.unknown`, Refused `run.ambiguous`."""
        return await self._ask(wire.RUN_GET, wire.RunGet(run=run, min_sequence=min_sequence, at=at), RunView)

    async def executors(self, *, at: Place | None = None) -> tuple[wire.ExecutorLine, ...]:
        """All executors; with `at` as they were there."""
        return (await self._ask(wire.EXECUTORS_LIST, wire.ExecutorsList(at=at), wire.ExecutorsPage)).executors

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
        page = await self.events_page(wire.EventsList(after=after, limit=limit, kind=kind, name=name, type=type_glob))
        return page.events, page.next

    async def events_page(self, wish: wire.EventsList) -> EventsFound:
        """A page of the tenant's events. Raises Refused (`query.glob`, `query.limit`)."""
        page = await self._ask(wire.EVENTS_LIST, wish, wire.EventsPage)
        found = tuple(decode_stored(bytes(raw)) for raw in page.events)
        return EventsFound(events=found, next=page.next, seen=page.seen, older=page.older)

    async def all_events(self, wish: wire.EventsList) -> AsyncIterator[StoredEvent]:
        """Every event that matches, page by page, up to where the log ended when the first page was asked for."""
        after: int | None = wish.after
        while after is not None:
            page = await self.events_page(replace(wish, after=after))
            for stored in page.events:
                yield stored
            after = page.next
            wish = wish if wish.until else replace(wish, until=Place(sequence=page.seen))

    async def event(self, which: str | int | uuid.UUID) -> StoredEvent:
        """One event by its id or sequence. Raises NotFound `event.unknown`: also when it is another tenant's."""
        return decode_stored(bytes(await self._ask(wire.EVENTS_GET, wire.EventGet(event=str(which)), msgspec.Raw)))

    async def events_stats(self, wish: wire.EventsStats) -> tuple[wire.EventsGroup, ...]:
        """How many events there are of each type, kind, phase, actor or name. Raises Refused `query.group`."""
        return (await self._ask(wire.EVENTS_STATS, wish, wire.EventsGroups)).groups

    async def evidence(self, run: str) -> tuple[EvidenceRow, ...]:
        """All envelopes of a run in order."""
        rows: list[EvidenceRow] = []
        after: int | None = 0
        while after is not None:
            page = await self._ask(wire.EVIDENCE_GET, wire.EvidenceGet(run=run, after=after), wire.EvidencePage)
            rows.extend(page.rows)
            run, after = page.run, page.next
        return tuple(rows)

    async def logs(self, run: str, *, follow: bool = False, channel: str = "console") -> AsyncIterator[bytes]:
        """What a run said, as it said it; with `follow` until the run is over. `channel`: console or events."""
        after = 0
        while True:
            page = await self._ask(wire.RUN_LOGS, wire.RunLogs(run=run, after=after, channel=channel), wire.LogsPage)
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
        """Fold one projection (None: all) anew and compare; waits for it.

        Raises:
            Denied: for operators only. Transient: code `projection.rebuild-lost`: nobody is there any more who would
                answer.
        """
        wish, name = wire.ProjectionsRebuild(projection=projection), wire.PROJECTIONS_REBUILD
        asking = asyncio.ensure_future(
            ask(self._bus, SYSTEM_TENANT, name, wish, wire.RebuildPage, timeout_s=_REBUILD_TIMEOUT_S)
        )
        watching = asyncio.ensure_future(self._until_nobody_answers())
        try:
            await asyncio.wait({asking, watching}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result().rebuilt
        finally:
            asking.cancel()
            watching.cancel()
            await asyncio.gather(asking, watching, return_exceptions=True)
        raise Transient(
            "the query service went away while it rebuilt; the read models are served as they were",
            code="projection.rebuild-lost",
            hint="`agentplane projections status` says whether it is under way; then ask again",
        )

    async def _until_nobody_answers(self) -> None:
        """Who was killed in the middle of a long answer does not say so: ask for short ones meanwhile."""
        failed = 0
        while failed < _FAILED_LOOKS:
            await asyncio.sleep(self._look_s)
            try:
                await self.projections()
                failed = 0
            except Transient as exc:
                failed = _FAILED_LOOKS if exc.code == "bus.no-responder" else failed + 1

    async def _ask(self, name: str, wish: msgspec.Struct, type_: type[T], *, timeout_s: float | None = None) -> T:
        return await ask(self._bus, self._tenant, name, wish, type_, timeout_s=timeout_s or self._timeout_s)
