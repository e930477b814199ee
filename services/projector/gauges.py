"""What the projector says of itself when Prometheus asks. Reads the checkpoints; decides nothing."""

from collections.abc import Awaitable, Callable, Iterable

from agentplane.errors import Transient
from agentplane.metrics.exposition import Gauge
from agentplane.mirror.directory import Mirror
from agentplane.projections.status import Status


def gauges(
    status: Callable[[], Awaitable[tuple[Status, ...]]], mirror: Mirror | None = None
) -> Callable[[], Awaitable[Iterable[Gauge]]]:
    """The gauges of one projector; only `database_up` says something while the database is away."""

    async def now() -> Iterable[Gauge]:
        try:
            found = await status()
        except Transient:
            return (_up(reachable=False),)
        files = () if mirror is None else (_mirrored(mirror, found),)
        return (_up(reachable=True), *files, *(gauge for each in found for gauge in _of(each)))

    return now


def _up(*, reachable: bool) -> Gauge:
    return Gauge("database_up", "1: the database answers.", reachable)


def _mirrored(mirror: Mirror, found: tuple[Status, ...]) -> Gauge:
    head = max((each.position + each.lag for each in found), default=0)
    lag = max(0, head - mirror.position.sequence)
    return Gauge("mirror_lag_events", "Events of the log that the mirror's files do not have.", lag)


def _of(status: Status) -> Iterable[Gauge]:
    labels = {"projection": status.projection}
    yield Gauge("projection_position", "Sequence of the last event in a read model.", status.position, labels)
    yield Gauge("projection_lag_events", "Events of the log that a read model has not seen.", status.lag, labels)
    yield Gauge("projection_events_per_second", "Events it moved past lately.", status.events_per_s, labels)
    yield Gauge("projection_lag_seconds", "For how long the first of them has been in the log.", status.lag_s, labels)
    building = status.building
    stopped = status.poison is not None or (building is not None and building.poison is not None)
    yield Gauge("projection_stopped", "1: it, or its upgrade, stopped before an event.", stopped, labels)
    done = 100 if building is None else building.percent
    yield Gauge("projection_upgraded_percent", "Of this release's version; below 100 another is served.", done, labels)
