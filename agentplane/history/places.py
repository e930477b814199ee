"""Where in the log: a sequence number or a time, as people write them. Pure.

Order is the sequence; a time means what was recorded at or before it, by the store's clock.
"""

from datetime import UTC, datetime
from typing import Final

from agentplane.clock import rfc3339
from agentplane.errors import Refused
from agentplane.history.spans import parse_span
from agentplane.runs.model import Wire

MAX_SEQUENCE: Final = 2**63 - 1


class Place(Wire, frozen=True, kw_only=True):
    """One of the two: a sequence number, or a time (aware)."""

    sequence: int | None = None
    time: datetime | None = None

    def __str__(self) -> str:
        return str(self.sequence) if self.time is None else rfc3339(self.time)


def parse_place(text: str, now: datetime) -> Place:
    """What a person wrote: `1234` (a sequence), `90m` or `1d12h` (before now), or an ISO 8601 date or time.

    A date is its first moment; a time without an offset is UTC.

    Raises:
        Refused: code `history.place`.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        if len(text) > len(str(MAX_SEQUENCE)) or int(text) > MAX_SEQUENCE:
            raise _refusal(text)
        return Place(sequence=int(text))
    try:
        if (span := parse_span(text)) is not None:
            return Place(time=now - span)
        moment = datetime.fromisoformat(text)
        return Place(time=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError) as exc:
        raise _refusal(text) from exc


def _refusal(text: str) -> Refused:
    return Refused(
        f"{text[:80]!r} is no place in the log",
        code="history.place",
        hint="a sequence number, a span before now (90m, 1d12h), or a time (2026-01-31, 2026-01-31T12:00:00Z)",
    )
