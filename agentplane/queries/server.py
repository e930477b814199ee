"""The query service: questions from the bus, answers from the read models. Knows its caller's tenant by the subject.

Another tenant's run is not found, as if it did not exist. Answers are bounded in items and bytes.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from msgspec.structs import replace

from agentplane.bus.subjects import LOGS, tenant_of
from agentplane.bus.subjects import log as log_subject
from agentplane.errors import AgentplaneError, Broken, NotFound, Refused, Transient
from agentplane.history.places import MAX_SEQUENCE, Place
from agentplane.ports import Responder
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.notices import consulted
from agentplane.projections.run_view import RunSummary, RunView
from agentplane.projections.status import Status
from agentplane.queries import protocol as wire
from agentplane.queries.artifacts import ARTIFACT_PIECE, ArtifactAnswers
from agentplane.queries.history import EventLog, HistoryAnswers
from agentplane.queries.imports import EVENTS_KNOWN, ImportAnswers
from agentplane.queries.noticing import Noticing
from agentplane.queries.paging import bounded, page_limit, question
from agentplane.queries.projections import ProjectionAnswers, Rebuild
from agentplane.queries.resources import RESOURCE_GET, RESOURCES_LIST, ResourceAnswers, ResourceViews
from agentplane.queries.views import VIEW_GET, VIEWS_COUNT, VIEWS_LIST, ViewAnswers
from agentplane.runs.states import TERMINAL

logger = logging.getLogger(__name__)

_CANDIDATES: Final = 10
_FRESH_WITHIN_S: Final = 5.0
_LOOK_AGAIN_S: Final = 0.25  # when nobody says that the read models moved
_LOG_CHUNKS: Final = 64
_AT_ONCE: Final = 64  # questions of all tenants, as many as the bus hands on; nobody has more than are left for others
_PATIENCE_S: Final = 30.0  # for one answer: nobody waits for it any longer


class Views(ResourceViews, Protocol):
    """What the service reads; agentplane.store.view_reader.ViewReader."""

    async def runs(
        self, tenant: str, *, limit: int, before: int | None, state: str | None, lane: str | None, executor: str | None
    ) -> tuple[RunSummary, ...]:
        """Summaries, newest first."""
        ...

    async def run_names(self, tenant: str, prefix: str, limit: int) -> tuple[str, ...]:
        """Names that begin with a prefix."""
        ...

    async def run(self, tenant: str, name: str) -> RunView | None:
        """A run's view."""
        ...

    async def executors(self, tenant: str) -> tuple[ExecutorView, ...]:
        """All executors."""
        ...

    async def evidence(self, tenant: str, run: str, after: int, limit: int) -> tuple[EvidenceRow, ...]:
        """Envelopes in order."""
        ...

    async def position(self, projection: str) -> int:
        """How far a projection is."""
        ...

    async def status(self) -> tuple[Status, ...]:
        """How the projections do."""
        ...


class QueryBus(Protocol):
    """What the service needs of the bus."""

    async def respond(self, subject: str, responder: Responder, *, queue: str = "") -> None:
        """Answer requests."""
        ...

    async def stored(self, stream: str, subject: str, after: int) -> tuple[int, bytes] | None:
        """The first stored message after a sequence."""
        ...

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask an executor and wait."""
        ...


class Progress:
    """Where the projector says that the read models moved, and answers that must be fresh wait."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def moved(self) -> None:
        """Something was folded and committed."""
        self._next.set()
        self._next = asyncio.Event()

    async def until(self, reached: Callable[[], Awaitable[bool]]) -> None:
        """Until something is reached: asked after every move, and now and then as another process may move them."""
        while True:
            following = self._next  # taken before asking, so that no move falls between
            if await reached():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await following.wait()


class QueryServer:
    """Answers until the bus is closed."""

    def __init__(
        self,
        bus: QueryBus,
        views: Views,
        log: EventLog,
        rebuild: Rebuild,
        progress: Progress | None = None,
        *,
        domains: ViewAnswers | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        """`domains`: answers about the read models that domains bring; None: there are none."""
        self._asked: Counter[str] = Counter()  # questions being answered, by tenant
        self._patience_s = patience_s
        self._log = log
        self._history = history = HistoryAnswers(log)
        resources = ResourceAnswers(views, history)
        self._progress = progress or Progress()
        projections = ProjectionAnswers(views, log, rebuild)
        self._noticing = Noticing(views.status, projections.as_told)
        self._bus = bus
        self._views = views
        self._answers: dict[str, Callable[[str, bytes], Awaitable[object]]] = {
            wire.RUNS_LIST: self._runs_list,
            wire.RUN_GET: self._run_get,
            wire.RUN_LOGS: self._run_logs,
            ARTIFACT_PIECE: ArtifactAnswers(bus, self._run).piece,
            wire.EXECUTORS_LIST: self._executors_list,
            wire.EVENTS_LIST: history.events_list,
            wire.EVENTS_GET: history.events_get,
            wire.EVENTS_STATS: history.events_stats,
            EVENTS_KNOWN: ImportAnswers(log).known,
            wire.EVIDENCE_GET: self._evidence_get,
            RESOURCES_LIST: resources.page,
            RESOURCE_GET: resources.one,
            wire.PROJECTIONS_STATUS: projections.status,
            wire.PROJECTIONS_REBUILD: projections.rebuild,
        }
        if domains is not None:
            self._answers |= {VIEWS_LIST: domains.page, VIEW_GET: domains.one, VIEWS_COUNT: domains.counts}

    async def start(self) -> None:
        """Begin to answer. Several services share the questions."""
        await self._bus.respond("agentplane-query.*.*", self.answer, queue="agentplane-queries")

    async def answer(self, subject: str, data: bytes) -> bytes:
        """The answer to one question, and notices of the read models that it is from. An error is an answer too.

        Never raises.
        """
        tenant, name = tenant_of(subject), subject.rsplit(".", maxsplit=1)[-1]
        with consulted() as projections:
            answer = await self._counted(tenant, name, data)
        return wire.noticed(answer, await self._noticing.of(tenant, projections))

    async def _counted(self, tenant: str, name: str, data: bytes) -> bytes:
        self._asked[tenant] += 1
        try:
            return wire.answered(await self._answer(tenant, name, data))
        except AgentplaneError as error:
            return wire.failed(error)
        except Exception:
            logger.exception("query %s of %s failed", name, tenant)
            return wire.failed(Broken("the query service failed", code="query.broken", hint="its log says why"))
        finally:
            self._asked[tenant] -= 1
            if not self._asked[tenant]:
                del self._asked[tenant]

    async def _answer(self, tenant: str, name: str, data: bytes) -> object:
        """Within bounds that leave room for other tenants; a rebuild, which is an operator's, takes its time."""
        own = self._asked[tenant] - 1
        if own and own >= _AT_ONCE - self._asked.total():
            said = f"{own} questions of this tenant are being answered already"
            raise Transient(said, code="query.busy", delay_s=1.0, hint="wait for some of them, then ask again")
        try:
            async with asyncio.timeout(None if name == wire.PROJECTIONS_REBUILD else self._patience_s):
                return await self._named(name)(tenant, data)
        except TimeoutError:
            raise Refused(
                f"there is no answer within {self._patience_s:g} s",
                code="query.too-long",
                hint="ask for less: a narrower range, a later place, one name",
            ) from None

    def _named(self, name: str) -> Callable[[str, bytes], Awaitable[object]]:
        if name not in self._answers:
            raise NotFound(f"no query {name!r}", code="query.unknown", hint=", ".join(self._answers))
        return self._answers[name]

    async def _runs_list(self, tenant: str, data: bytes) -> wire.RunsPage:
        wish = question(data, wire.RunsList)
        if wish.at is not None:
            return await self._history.runs_at(tenant, wish, wish.at)
        limit = page_limit(wish.limit)
        before = None if wish.before is None else min(wish.before, MAX_SEQUENCE)
        found = await self._views.runs(
            tenant, limit=limit + 1, before=before, state=wish.state, lane=wish.lane, executor=wish.executor
        )
        page = bounded(found[:limit])
        more = len(page) < len(found)
        return wire.RunsPage(runs=page, next=page[-1].first_sequence if more and page else None)

    async def _run_get(self, tenant: str, data: bytes) -> RunView:
        wish = question(data, wire.RunGet)
        if wish.at is not None:
            return await self._run_at(tenant, wish.run, wish.at)
        if wish.min_sequence:
            await self._fresh(wish.min_sequence)
        return await self._run(tenant, wish.run)

    async def _fresh(self, sequence: int) -> None:
        """Until the runs have seen an event; what is there by then is the answer, however old."""

        async def reached() -> bool:
            return await self._views.position("runs") >= sequence

        try:
            async with asyncio.timeout(_FRESH_WITHIN_S):
                await self._progress.until(reached)
        except TimeoutError:
            logger.warning("the projection of runs has not come to %d within %.0f s", sequence, _FRESH_WITHIN_S)

    async def _run(self, tenant: str, given: str) -> RunView:
        names = await self._views.run_names(tenant, given, _CANDIDATES + 1) if given else ()
        view = await self._views.run(tenant, names[0]) if len(names) == 1 else None
        return _the_one(given, names, view)

    async def _run_at(self, tenant: str, given: str, at: Place) -> RunView:
        names, view = await self._history.run_at(tenant, given, at, _CANDIDATES + 1) if given else ((), None)
        return _the_one(given, names, view, f" at {at}")

    async def _run_logs(self, tenant: str, data: bytes) -> wire.LogsPage:
        wish = question(data, wire.RunLogs)
        view = await self._run(tenant, wish.run)
        chunks: list[bytes] = []
        after, size = wish.after, 0
        while view.executor and len(chunks) < _LOG_CHUNKS and size < wire.MAX_PAGE_BYTES // 2:
            subject = log_subject(view.executor, tenant, view.name, wish.channel)
            found = await self._bus.stored(LOGS, subject, after)
            if found is None:
                break
            after, chunk = found
            chunks.append(chunk)
            size += len(chunk)
        ended = view.state in TERMINAL and not chunks
        return wire.LogsPage(run=view.name, chunks=tuple(chunks), next=after, ended=ended)

    async def _executors_list(self, tenant: str, data: bytes) -> wire.ExecutorsPage:
        at = question(data, wire.ExecutorsList).at
        found = await self._views.executors(tenant) if at is None else await self._history.executors_at(at)
        return wire.ExecutorsPage(executors=tuple(_line(each, tenant) for each in found))

    async def _evidence_get(self, tenant: str, data: bytes) -> wire.EvidencePage:
        wish = question(data, wire.EvidenceGet)
        limit = page_limit(wish.limit)
        run = (await self._run(tenant, wish.run)).name
        found = await self._views.evidence(tenant, run, wish.after, limit + 1)
        page = bounded(found[:limit])
        more = len(page) < len(found)
        return wire.EvidencePage(run=run, rows=page, next=page[-1].sequence if more and page else None)


def _the_one(given: str, names: Sequence[str], view: RunView | None, when: str = "") -> RunView:
    if len(names) > 1:
        listed = ", ".join(names[:_CANDIDATES]) + (", …" if len(names) > _CANDIDATES else "")
        raise Refused(f"{given!r} fits several runs: {listed}", code="run.ambiguous", hint="write more of the name")
    if view is None:
        raise NotFound(f"no run {given!r}{when}", code="run.unknown", hint="`agentplane get runs` lists them")
    return view


def _line(view: ExecutorView, tenant: str) -> wire.ExecutorLine:
    own: tuple[Any, ...] = tuple(lease for lease in view.leases if lease.tenant == tenant)
    return wire.ExecutorLine(executor=replace(view, leases=own), other_leases=len(view.leases) - len(own))
