"""The daemon put together. Order of start: tables, projecting, then answering as soon as the bus is there.

Order of stop: no new question is taken, the batch in hand is committed or rolled back, connections are closed.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from agentplane.bus.nats import NatsBus
from agentplane.daemon.bus import connect
from agentplane.daemon.certificates import with_certificates
from agentplane.daemon.config import NatsSettings
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.domains.discovery import installed
from agentplane.errors import AgentplaneError, Transient
from agentplane.metrics.exposition import exposed
from agentplane.projections.engine import PROJECTIONS
from agentplane.projections.status import Rebuilt, State, Status, words
from agentplane.queries.server import Progress, QueryServer
from agentplane.queries.views import ViewAnswers
from agentplane.store.log_queries import LogQueries
from agentplane.store.reader import LogReader
from agentplane.store.view_reader import ViewReader
from agentplane.store.view_rows import ViewRows
from agentplane.store.views import ViewStore
from services.projector.config import ProjectorSettings
from services.projector.gauges import gauges
from services.projector.mirror import configured, mirrored

log = get_logger()

_RETRY_MAX_S: Final = 5.0
_STATUS_S: Final = 1.0  # between two looks at the checkpoints for the service manager
_TEND_S: Final = 1.0  # between two looks at builds that wait for something
_TENDED_S: Final = 5.0  # when everything is served in our version
_AT_WORK: Final = {State.LIVE, State.REBUILDING, State.CATCHING_UP}
T = TypeVar("T")


async def run(settings: ProjectorSettings, lifecycle: Lifecycle) -> None:
    """Project and answer until `lifecycle` says stop."""
    projections = (*PROJECTIONS.values(), *installed().registry.projections.values())
    views = ViewStore(settings.postgres.full_conninfo(), projections, batch=settings.batch_events)
    reader = LogReader(settings.postgres.full_conninfo(), poll_s=settings.poll_seconds)
    reading = settings.read_postgres.full_conninfo()
    answers = ViewReader(reading, connections=settings.read_connections, projections=projections)
    progress, mirror = Progress(), configured(settings.mirror)
    bus: NatsBus | None = None
    try:
        if await _patiently(views.prepare, lifecycle) is None:
            return
        if await _patiently(answers.status, lifecycle) is None:  # as who answers questions: another role
            return
        lifecycle.spawn(follow(reader.wakeups(), views, progress, lifecycle), "projections")
        lifecycle.spawn(tend(views, progress, lifecycle), "upgrades")
        if mirror is not None:
            lifecycle.spawn(mirrored(settings, mirror, lifecycle), "mirror")
        bus = await _patiently(lambda: _connect(settings.nats), lifecycle)
        if bus is None:
            return
        history = LogQueries(answers)
        domains = ViewAnswers(installed().registry, ViewRows(answers), history)
        await QueryServer(bus, answers, history, lambda name: _rebuild(views, name), progress, domains=domains).start()
        async with exposed(settings.metrics_port, with_certificates(settings.nats, gauges(answers.status, mirror))):
            lifecycle.ready("projecting and answering")
            await lifecycle.stopping.wait()
    finally:
        if bus is not None:
            await bus.close()
        await lifecycle.close()
        await reader.close()
        await views.close()
        await answers.close()


async def follow(wakeups: AsyncIterator[None], views: ViewStore, progress: Progress, lifecycle: Lifecycle) -> None:
    """Bring the read models to the head of the log at every wake-up, until told to stop."""
    trouble: str | None = None
    said: tuple[str, ...] = ()
    look_at, unsaid = 0.0, False
    async for _ in wakeups:
        if lifecycle.stopping.is_set():
            return
        try:
            moved = await views.catch_up()
            now = None
        except Transient as exc:
            moved, now = 0, str(exc)
        if now != trouble:
            trouble = now
            log.warning("projections wait", reason=now) if now else log.info("projections continue")
        if moved:
            progress.moved()
            unsaid = True
        if not unsaid or time.monotonic() < look_at:
            continue  # whoever waits for the next events comes first
        look_at, unsaid = time.monotonic() + _STATUS_S, False
        if (words := _words(await _status(views))) != said:
            said = words
            lifecycle.status("; ".join(words))


async def tend(views: ViewStore, progress: Progress, lifecycle: Lifecycle) -> None:
    """Bring the read models to this release's version beside what serves, until told to stop."""
    trouble: str | None = None
    while not lifecycle.stopping.is_set():
        try:
            left, now = await views.tend(), None
        except AgentplaneError as exc:
            left, now = True, str(exc)
        except Exception as exc:  # noqa: BLE001 - whatever a domain's code raises, what serves goes on serving
            left, now = True, f"{type(exc).__name__}: {exc}"
        if now != trouble:
            trouble = now
            log.warning("upgrades wait", reason=now) if now else log.info("upgrades continue")
        progress.moved()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TEND_S if left else _TENDED_S):
                await lifecycle.stopping.wait()


def _words(status: tuple[Status, ...]) -> tuple[str, ...]:
    return tuple(
        f"{each.projection} {each.state}: {words(each)[:200]}"
        if each.state not in _AT_WORK
        else f"{each.projection} at {each.position}"
        for each in status
    )


async def _status(views: ViewStore) -> tuple[Status, ...]:
    try:
        return await views.status()
    except Transient:
        return ()


async def _rebuild(views: ViewStore, name: str | None) -> tuple[Rebuilt, ...]:
    names = views.names if name is None else (name,)
    return tuple([await views.rebuild(each) for each in names])


async def _connect(nats: NatsSettings) -> NatsBus:
    return await connect(nats, "projector")


async def _patiently(attempt: Callable[[], Awaitable[T]], lifecycle: Lifecycle) -> T | None:
    """What `attempt` yields, tried again while something is away; None: we were told to stop first."""
    delay_s = 0.25
    while not lifecycle.stopping.is_set():
        try:
            return await attempt()
        except Transient as exc:
            log.warning("waiting", reason=str(exc))
            lifecycle.status(f"waiting: {exc}")
        try:
            async with asyncio.timeout(delay_s):
                await lifecycle.stopping.wait()
        except TimeoutError:
            delay_s = min(delay_s * 2, _RETRY_MAX_S)
    return None
