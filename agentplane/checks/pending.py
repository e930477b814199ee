"""A recorded decision beside what is decided today, and what is said where they differ. Pure."""

import msgspec

from agentplane.checks.report import Difference, Poison, Unjudged
from agentplane.domains.resource import DEAD_LETTERED, DeadLettered
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event, StoredEvent, StreamId
from agentplane.history.differences import Change


class Pending(msgspec.Struct, kw_only=True):
    """A decision whose events are coming in."""

    head: StoredEvent
    controller: str
    recorded_version: int
    version: int | None
    source: StoredEvent | None
    expected: list[Event] | None
    why: str = ""
    failure: str = ""
    recorded: list[StoredEvent]
    kinds: frozenset[str] | None = None

    def includes(self, stored: StoredEvent) -> bool:
        """Whether an event came of the same decision."""
        head, event = self.head.event, stored.event
        return (event.actor, event.causation_id, event.time) == (head.actor, head.causation_id, head.time)

    def judged(self) -> list[StoredEvent]:
        """What it led to, as far as it is compared."""
        return [each for each in self.recorded if self.kinds is None or each.event.stream.kind in self.kinds]

    def letter(self) -> DeadLettered | None:
        """The dead letter that it ended in, if it did."""
        event = self.head.event
        try:
            return payload(event, DeadLettered) if event.type == DEAD_LETTERED else None
        except Refused:
            return None

    def unjudged(self, why: str) -> Unjudged:
        """It cannot be taken again."""
        return Unjudged(sequence=self.head.sequence, controller=self.controller, why=why)

    def poison(self, letter: DeadLettered) -> Poison:
        """It failed then, and is not held against today's controller."""
        return Poison(
            sequence=letter.sequence, line=None, controller=self.controller, code=letter.code, reason=letter.reason
        )

    def difference(self, letter: DeadLettered | None, found: tuple[Change, ...]) -> Difference:
        """How today's decision differs from it."""
        about = self.source or self.head
        stream = next(
            (each.event.stream for each in self.recorded if each.event.type != DEAD_LETTERED), self.head.event.stream
        )
        return Difference(
            sequence=self.head.sequence,
            event_id=str(about.event.id if self.source else self.head.event.causation_id or self.head.event.id),
            event_type=about.event.type,
            tenant=stream.tenant,
            resource=resource_words(stream),
            controller=self.controller,
            recorded_version=self.recorded_version,
            version=self.version,
            declared=self.version is not None and self.version > self.recorded_version,
            what=self._verdict(letter),
            changes=found,
        )

    def _verdict(self, letter: DeadLettered | None) -> str:
        if self.version is None:
            return "is gone"
        if letter is not None and not self.failure:
            return "fails no more"
        if letter is None and self.failure:
            return "fails now"
        return "decides otherwise" if self.expected else "decides no more"


def resource_words(stream: StreamId) -> str:
    """A stream's resource as reports name it."""
    return f"{stream.kind}/{stream.namespace}/{stream.name}"
