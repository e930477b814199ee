"""Time as a port: the core takes `now`; only shells hold a Clock."""

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where a shell reads the time from."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`: the one way times are written. Raises ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place here")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """The inverse of `rfc3339`; any offset is accepted. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return moment.astimezone(UTC)
