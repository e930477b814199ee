"""Whether the bus's certificates are good, and for how long yet. Pure, but for `of_bus`, which looks."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from agentplane.bus.certificates import WARN_BEFORE, CertificateEnd, ends
from agentplane.bus.tls import Tls
from agentplane.doctor.check import Check, failed, passed

_RENEW: Final = "agentplane keys DIRECTORY --renew-certificate"
_DAY_S: Final = 86_400


def of_bus(servers: Sequence[str], tls: Tls | None, now: datetime) -> list[Check]:
    """The checks of every certificate that a connection to these servers depends on."""
    return certificates(asyncio.run(ends(servers, tls)), now)


def certificates(found: Sequence[CertificateEnd], now: datetime) -> list[Check]:
    """A warning for the last 30 days of each, a failure from its end on."""
    return [_check(each, now) for each in found]


def _check(each: CertificateEnd, now: datetime) -> Check:
    left_s = each.seconds(now)
    id_ = f"certificate.{each.which}"
    words = f"{each.where}: until {each.at:%Y-%m-%d %H:%M:%SZ}"
    if left_s <= 0:
        return failed(id_, f"{words}: it has ended, nobody connects any more", _RENEW)
    if left_s <= WARN_BEFORE.total_seconds():
        return failed(id_, f"{words}, in {left_s / _DAY_S:.0f} days: renew it", _RENEW, required=False)
    return passed(id_, f"{words}, in {left_s / _DAY_S:.0f} days")
