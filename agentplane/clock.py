"""Time as a port: the core takes `now`; only shells hold a Clock."""

from datetime import UTC, datetime
from typing import Final, Protocol


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


# A day later than the first moment of all: by whatever zone's clock it is shown, it has a year.
EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.123456Z`: the one way times are written. Raises ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError("a naive datetime has no place here")
    # not strftime, which writes years before 1000 with fewer than four digits
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def parse_rfc3339(text: str) -> datetime:
    """The inverse of `rfc3339`; any offset is accepted. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:  # the first or last hours of all years, by another zone's clock
        raise ValueError(f"{text!r} is out of range") from exc
