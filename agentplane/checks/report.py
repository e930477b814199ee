"""What a check found. Pure."""

from agentplane.history.differences import Change
from agentplane.runs.model import Wire


class Difference(Wire, frozen=True, kw_only=True):
    """A decision that today's controllers would take otherwise.

    `declared`: under a higher version than it was taken with, so somebody says that this is meant.
    """

    sequence: int  # of the decision's first event; of the event itself where nothing was decided upon it
    event_id: str  # that was decided upon
    event_type: str
    tenant: str
    resource: str  # "Kind/namespace/name" whom the decision is about
    controller: str
    recorded_version: int  # 0: this controller was not there
    version: int | None  # None: it is not here any more
    declared: bool
    what: str  # "decides otherwise", "decides now", "decides no more", "fails now", "fails no more", "is gone"
    changes: tuple[Change, ...] = ()  # before: recorded, after: now


class Unjudged(Wire, frozen=True, kw_only=True):
    """A decision that cannot be taken again, and why."""

    sequence: int
    controller: str
    why: str


class Poison(Wire, frozen=True, kw_only=True):
    """An input that a controller failed at, then and now; or one that cannot be read at all."""

    sequence: int | None
    line: int | None  # of the file
    controller: str | None
    code: str
    reason: str


class Report(Wire, frozen=True, kw_only=True):
    """A whole check. `decisions` were taken again; of them `same` came out the same."""

    events: int
    first: int
    last: int
    decisions: int
    same: int
    silences: int  # events upon which a controller decided nothing, and would again
    differences: tuple[Difference, ...]
    unjudged: tuple[Unjudged, ...]
    poison: tuple[Poison, ...]
    unread_lines: int  # of the file: the proof has holes

    @property
    def undeclared(self) -> int:
        """Differences that nobody has declared."""
        return sum(not each.declared for each in self.differences)

    @property
    def passed(self) -> bool:
        """Whether nothing differs but what was declared, and everything could be read."""
        return self.undeclared == 0 and self.unread_lines == 0
