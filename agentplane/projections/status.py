"""How projections do, for people. Pure."""

from datetime import datetime

from agentplane.runs.model import Wire


class Poison(Wire, frozen=True, kw_only=True):
    """The event that a projection cannot get past, and why."""

    sequence: int
    event_id: str
    reason: str


class Status(Wire, frozen=True, kw_only=True):
    """How a projection does. `poison` is the event it stopped before; None: it runs."""

    projection: str
    version: int
    position: int  # sequence of the last event in it
    lag: int  # events that it has not seen
    poison: Poison | None
    rebuilt_at: datetime | None
    updated_at: datetime
    events_per_s: float = 0.0  # that it moved past, over the last 10 to 20 seconds of work, and what followed
    rebuilding: int | None = None  # how far a rebuild beside it is; None: none is under way


class Rebuilt(Wire, frozen=True, kw_only=True):
    """What a rebuild found. `equal`: every row is byte for byte what it was."""

    projection: str
    position: int
    rows: int
    hash_before: str  # SHA-256 over the SHA-256 of every row in key order, hex
    hash_after: str
    equal: bool
