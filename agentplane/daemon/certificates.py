"""The bus's certificates as a daemon's metrics: how long they are good yet, as this host sees them."""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from agentplane.bus.certificates import CertificateEnd, ends
from agentplane.clock import SystemClock
from agentplane.daemon.config import NatsSettings
from agentplane.metrics.exposition import Gauge

_LOOK_AGAIN: Final = timedelta(minutes=5)  # one handshake; a certificate has days

Sample = Callable[[], Awaitable[Iterable[Gauge]]]

_HELP: Final = "Until a certificate of the bus ends, as seen from this host."
_NONE: Final = Gauge("certificate_seconds", _HELP, None, {"certificate": "", "where": ""})  # a bus in the clear


def with_certificates(nats: NatsSettings, sample: Sample) -> Sample:
    """The gauges of `sample`, and those of the bus's certificates."""
    clock = SystemClock()
    found: tuple[CertificateEnd, ...] = ()
    looked: datetime | None = None

    async def both() -> Iterable[Gauge]:
        nonlocal found, looked
        now = clock.now()
        if looked is None or now - looked >= _LOOK_AGAIN:
            found, looked = await ends(nats.servers, nats.encryption, allow_plaintext=True), now
        return (*await sample(), *([_gauge(each, now) for each in found] or [_NONE]))

    return both


def _gauge(each: CertificateEnd, now: datetime) -> Gauge:
    labels = {"certificate": each.which, "where": each.where}
    return Gauge("certificate_seconds", _HELP, each.seconds(now), labels)
