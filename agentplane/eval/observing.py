"""Events as they are evaluated: facts of the families, each id once, by the time at which they happened. Pure.

The sequence tells apart what happened in one moment. So the same events, shuffled or repeated, give the same figures.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from agentplane.domains.facts import decode
from agentplane.domains.work.catalogue import DATA
from agentplane.domains.work.facts.base import Fact
from agentplane.events.model import Phase, StoredEvent

F = TypeVar("F", bound=Fact)


class Seen(NamedTuple):
    """One fact."""

    at: datetime
    sequence: int
    type: str
    actor: str
    said: Any  # the struct of its type

    @property
    def agent(self) -> str:
        """Whom it is about, where it is about an agent."""
        return getattr(self.said, "agent", None) or self.actor


class Observed:
    """Facts in order, and how many could not be read. Owned by who adds to it; of an event only its fact is kept."""

    def __init__(self, events: Iterable[StoredEvent] = ()) -> None:
        """Of any events; those of other types and phases are passed over."""
        self.unreadable = 0
        self._ids: set[uuid.UUID] = set()
        self._facts: list[Seen] = []
        self._in_order = True
        for stored in events:
            self.add(stored)

    def add(self, stored: StoredEvent) -> None:
        """Take one more event; one that was taken before changes nothing."""
        if stored.event.id not in self._ids:
            self._ids.add(stored.event.id)
            self._take(stored)

    @property
    def facts(self) -> list[Seen]:
        """All facts in order."""
        if not self._in_order:
            self._facts.sort(key=lambda seen: (seen.at, seen.sequence))
            self._in_order = True
        return self._facts

    def of(self, *types: str) -> list[Seen]:
        """Facts of these types, in order."""
        wanted = frozenset(types)
        return [seen for seen in self.facts if seen.type in wanted]

    @property
    def first_at(self) -> datetime | None:
        """When the first fact happened; None: there is none."""
        return self.facts[0].at if self.facts else None

    @property
    def last_at(self) -> datetime | None:
        """When the last fact happened; None: there is none."""
        return self.facts[-1].at if self.facts else None

    def _take(self, stored: StoredEvent) -> None:
        event = stored.event
        if event.phase is not Phase.FACT or event.type not in DATA:
            return
        try:
            said = decode(DATA[event.type], event.data)
        except (msgspec.ValidationError, RecursionError):
            self.unreadable += 1
            return
        self._facts.append(Seen(event.time, stored.sequence, event.type, event.actor, said))
        self._in_order = False
