"""Which of two events has the last word about a field: the newer by its source's time. Pure.

Folding in any order gives the same view. Two events of one moment are told apart by their rank, the further step of a
life wins, and then by id. A stamp is text that sorts as these three do.
"""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from agentplane.clock import rfc3339
from agentplane.events.model import StoredEvent
from agentplane.runs.model import Wire

V = TypeVar("V", bound="Stamped")


class Stamped(Wire, frozen=True, kw_only=True):
    """Base of views: whose it is, when it last changed, and which event had the last word about each field."""

    tenant: str
    kind: str
    namespace: str = "default"
    name: str
    updated_at: datetime | None = None  # by the sources' clocks
    unreadable: int = 0  # events of known types whose data could not be read
    stamps: dict[str, str] = msgspec.field(default_factory=dict)


def stamp_of(stored: StoredEvent, rank: int = 0) -> str:
    """The stamp of an event; `rank` from 0 to 9."""
    return f"{rfc3339(stored.event.time)} {rank} {stored.event.id}"


def set_newest(view: V, stored: StoredEvent, rank: int = 0, **values: object) -> V:
    """The view with those values about which no newer event has spoken."""
    stamp = stamp_of(stored, rank)
    won = {name: value for name, value in values.items() if view.stamps.get(name, "") <= stamp}
    if not won:
        return view
    return replace(view, stamps={**view.stamps, **dict.fromkeys(won, stamp)}, **won)


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """The first of two moments; None: unknown."""
    known = [each for each in (one, other) if each is not None]
    return min(known, default=None)


def later(one: datetime | None, other: datetime | None) -> datetime | None:
    """The last of two moments; None: unknown."""
    known = [each for each in (one, other) if each is not None]
    return max(known, default=None)


def aware(moment: datetime | None) -> datetime | None:
    """A moment as data have it: without an offset it is UTC, as the times of imported events are."""
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)
