"""How projections do, for people. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from agentplane.events.upcasting import NEWER
from agentplane.runs.model import Wire

DROPPING: Final = "docs/operations.md#a-domain-that-was-removed"
LATE_S: Final = 5.0  # an answer that is older than this is worth a word


class Poison(Wire, frozen=True, kw_only=True):
    """The event that a projection cannot get past, and why."""

    sequence: int
    event_id: str
    reason: str

    @property
    def waits(self) -> bool:
        """Whether the event is only too new for the program that met it."""
        return self.reason.startswith(NEWER)


class State(StrEnum):
    """What a read model's answers are worth just now."""

    LIVE = "live"  # it has seen every event, or will in a moment
    REBUILDING = "rebuilding"  # live, and folded once more beside itself to be compared
    CATCHING_UP = "catching up"
    UPGRADING = "upgrading"  # an older version's rows are served until this release's are complete
    WAITING = "waiting"  # before an event of a newer program
    STOPPED = "stopped"  # before an event that it cannot fold
    REMOVED = "removed"  # no domain that is installed keeps it any more


class Building(Wire, frozen=True, kw_only=True):
    """The version that is built beside the one that is served. `poison`: the event that the build stopped before."""

    version: int
    position: int
    percent: int  # of the log, 0 to 99
    events_per_s: float = 0.0
    poison: Poison | None = None


class Status(Wire, frozen=True, kw_only=True):
    """How a projection does. `poison` is the event it stopped before; None: it runs."""

    projection: str
    version: int  # of the rows that are served
    position: int  # sequence of the last event in it
    lag: int  # events that it has not seen
    poison: Poison | None
    rebuilt_at: datetime | None
    updated_at: datetime
    events_per_s: float = 0.0  # that it moved past, over the last 10 to 20 seconds of work, and what followed
    rebuilding: int | None = None  # how far a rebuild beside it is; None: none is under way
    lag_s: float = 0.0  # for how long the first of them has been in the log
    building: Building | None = None
    removed: bool = False  # nobody has kept it for a while, and this release does not
    state: State = State.LIVE


class Rebuilt(Wire, frozen=True, kw_only=True):
    """What a rebuild found. `equal`: every row is byte for byte what it was."""

    projection: str
    position: int
    rows: int
    hash_before: str  # SHA-256 over the SHA-256 of every row in key order, hex
    hash_after: str
    equal: bool


def state_of(status: Status) -> State:
    """The state that the other fields make."""
    building, poison = status.building, status.poison
    if status.removed:
        return State.REMOVED
    if building is not None:
        return State.STOPPED if building.poison and not building.poison.waits else State.UPGRADING
    if poison is not None:
        return State.WAITING if poison.waits else State.STOPPED
    if status.rebuilding is not None:
        return State.REBUILDING
    return State.CATCHING_UP if status.lag and status.lag_s > LATE_S else State.LIVE


def percent(position: int, head: int) -> int:
    """How much of a log is folded; never 100, which only a switch makes it."""
    return min(99, 100 * position // head) if head else 0


def words(status: Status) -> str:
    """Why a read model is not simply live; nothing if it is."""
    building, poison = status.building, status.poison
    if status.removed:
        return (
            f"no installed domain keeps it; its rows stay as of event {status.position} until you drop it ({DROPPING})"
        )
    if building is not None:
        said = f"version {building.version} is built for this release, {building.percent} %"
        if building.poison is not None:
            verb = "waits" if building.poison.waits else "stopped"
            said += f", and {verb} before event {building.poison.sequence}: {building.poison.reason}"
        return f"{said}; until then version {status.version} is served, as of event {status.position}{_late(status)}"
    if poison is not None:
        return f"{'waits' if poison.waits else 'stopped'} before event {poison.sequence}: {poison.reason}"
    if status.state is State.CATCHING_UP:
        return f"as of event {status.position}{_late(status)}"
    return ""


def _late(status: Status) -> str:
    if not status.lag:
        return ""
    return f", {status.lag} {'event' if status.lag == 1 else 'events'} behind ({span(status.lag_s)})"


def span(seconds: float) -> str:
    """A length of time in one unit."""
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds // length_s:.0f} {unit}"
    return f"{seconds:.0f} s"
