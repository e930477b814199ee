"""The endpoint: http://127.0.0.1:PORT/metrics, by prometheus_client's own server.

The server has a thread of its own; gauges are read on the daemon's event loop, where what they read lives. A loop that
stalls therefore does not answer, and Prometheus says `up == 0`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client import start_http_server as start
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agentplane import __version__
from agentplane.errors import Broken
from agentplane.metrics.counters import REGISTRY

ANSWER_WITHIN_S: Final = 5.0
LOOPBACK: Final = "127.0.0.1"

Labels = Mapping[str, str]


class Gauge:
    """One number as of now, with its labels. None: nothing to measure yet, but the name and its meaning are told."""

    __slots__ = ("help", "labels", "name", "value")

    def __init__(self, name: str, help_: str, value: float | None, labels: Labels | None = None) -> None:
        self.name = f"agentplane_{name}"
        self.help = help_
        self.value = value
        self.labels = dict(labels or {})


Sample = Callable[[], Awaitable[Iterable[Gauge]]]


class _Sampler(Collector):
    """Asks the event loop for its gauges."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sample: Sample) -> None:
        self._loop = loop
        self._sample = sample

    def collect(self) -> Iterator[GaugeMetricFamily]:
        future = asyncio.run_coroutine_threadsafe(self._gauges(), self._loop)
        try:
            gauges = future.result(ANSWER_WITHIN_S)
        except TimeoutError:
            future.cancel()
            raise
        return iter(families(gauges))

    async def _gauges(self) -> tuple[Gauge, ...]:
        return tuple(await self._sample())


def families(gauges: Iterable[Gauge]) -> list[GaugeMetricFamily]:
    """Gauges by name, as prometheus_client writes them."""
    families: dict[str, GaugeMetricFamily] = {}
    for gauge in gauges:
        family = families.get(gauge.name)
        if family is None:
            family = families[gauge.name] = GaugeMetricFamily(gauge.name, gauge.help, labels=tuple(gauge.labels))
        if gauge.value is not None:
            family.add_metric(tuple(gauge.labels.values()), gauge.value)
    return list(families.values())


@asynccontextmanager
async def exposed(port: int | None, sample: Sample) -> AsyncIterator[None]:
    """Answer scrapes meanwhile; nothing happens without a port.

    Raises:
        Broken: `metrics.port`: somebody else listens there.
    """
    if port is None:
        yield
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(_Sampler(asyncio.get_running_loop(), _with_version(sample)))
    registry.register(_Counted())
    try:
        server, thread = start(port, addr=LOOPBACK, registry=registry)
    except OSError as exc:
        raise Broken(
            f"cannot listen on {LOOPBACK}:{port}: {exc.strerror}",
            code="metrics.port",
            where="metrics_port",
            hint=f"see `ss -ltnp 'sport = :{port}'`, or configure another port",
        ) from exc
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)  # it may wait for an answer of this loop
        server.server_close()
        await asyncio.to_thread(thread.join)


class _Counted(Collector):
    """The process's counters."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return iter(REGISTRY.collect())  # type: ignore[arg-type]


def _with_version(sample: Sample) -> Sample:
    async def both() -> Iterable[Gauge]:
        build = Gauge("build_info", "Which agentplane this is.", 1, {"version": __version__})
        return (build, *await sample())

    return both
