"""Dead letters: events that a controller could not handle, kept with the reason until a retry resolves them. Pure.

The stream `<tenant>/DeadLetter/default/<controller>-<event>` tells the whole story, append-only:
`controller.dead-lettered` (again with every retry that fails), the intent `controller.retry-requested`, and
`controller.dead-letter-resolved`.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.domains.resource import DEAD_LETTER_KIND, DEAD_LETTERED, DeadLettered
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Append, Event, StoredEvent, StreamId
from agentplane.runs.model import Wire

RETRY_REQUESTED: Final = "controller.retry-requested"
RESOLVED: Final = "controller.dead-letter-resolved"
_REMEMBERED: Final = 20  # retries whose ids are known again when they are delivered twice


class RetryRequested(Wire, frozen=True, kw_only=True):
    """Intent `controller.retry-requested` on a dead letter's stream: show the event to the controller again."""

    reason: str = ""


class Resolved(Wire, frozen=True, kw_only=True):
    """Fact `controller.dead-letter-resolved`: shown again, and handled."""

    controller: str
    controller_version: int
    message: str


class LetterState(StrEnum):
    """Where a dead letter stands."""

    OPEN = "open"
    RETRYING = "retrying"  # somebody asked; control has not come to it yet
    RESOLVED = "resolved"


class Letter(Wire, frozen=True, kw_only=True):
    """A dead letter as of its stream's `version`. `kind`, `namespace`, `resource`: of the event's own stream."""

    tenant: str
    name: str
    state: LetterState
    controller: str
    controller_version: int
    code: str
    reason: str
    event_id: uuid.UUID
    event_type: str
    sequence: int  # of that event
    kind: str
    namespace: str
    resource: str
    attempts: int = 1
    version: int
    first_sequence: int
    last_sequence: int
    last_event: uuid.UUID
    recorded_at: datetime  # of the newest failure, or of the resolution
    retried_by: str | None = None
    asked: tuple[uuid.UUID, ...] = ()  # the newest wishes to retry; the last one is open while `retrying`

    @property
    def stream(self) -> StreamId:
        """Its own stream."""
        return StreamId(self.tenant, DEAD_LETTER_KIND, "default", self.name)


def apply(letter: Letter | None, stored: StoredEvent) -> Letter | None:
    """The letter after one more event; events of other streams, and those that cannot be read, change nothing."""
    event = stored.event
    if event.stream.kind != DEAD_LETTER_KIND:
        return letter
    try:
        changed = _step(letter, stored)
    except Refused:
        changed = letter
    if changed is None:
        return None
    return replace(changed, version=stored.stream_version, last_sequence=stored.sequence, last_event=event.id)


def fold(events: Iterable[StoredEvent]) -> tuple[Letter, ...]:
    """All letters in events that are in order, oldest first."""
    letters: dict[StreamId, Letter] = {}
    for stored in events:
        after = apply(letters.get(stored.event.stream), stored)
        if after is not None:
            letters[stored.event.stream] = after
    return tuple(letters.values())


def _step(letter: Letter | None, stored: StoredEvent) -> Letter | None:
    event = stored.event
    if event.type == DEAD_LETTERED:
        return _dead(letter, stored, payload(event, DeadLettered))
    if letter is None:
        return None
    if event.type == RETRY_REQUESTED:
        asked = (*letter.asked, event.id)[-_REMEMBERED:]
        return replace(letter, state=LetterState.RETRYING, retried_by=event.actor, asked=asked)
    if event.type == RESOLVED:
        said = payload(event, Resolved)
        return replace(
            letter,
            state=LetterState.RESOLVED,
            controller_version=said.controller_version,
            recorded_at=stored.recorded_at,
        )
    return letter


def _dead(letter: Letter | None, stored: StoredEvent, said: DeadLettered) -> Letter:
    stream = stored.event.stream
    return Letter(
        tenant=stream.tenant,
        name=stream.name,
        state=LetterState.OPEN,
        controller=said.controller,
        controller_version=said.controller_version,
        code=said.code,
        reason=said.reason,
        event_id=said.event_id,
        event_type=said.event_type,
        sequence=said.sequence,
        kind=said.kind,
        namespace=said.namespace,
        resource=said.name,
        attempts=letter.attempts + 1 if letter else 1,
        version=stored.stream_version,
        first_sequence=letter.first_sequence if letter else stored.sequence,
        last_sequence=stored.sequence,
        last_event=stored.event.id,
        recorded_at=stored.recorded_at,
        retried_by=letter.retried_by if letter else None,
        asked=letter.asked if letter else (),
    )


class Letters:
    """All dead letters as a prefix of the log has them: a part of control's state."""

    def __init__(self) -> None:
        self._known: dict[StreamId, Letter] = {}

    def apply(self, stored: StoredEvent) -> None:
        """Take the next event of the log."""
        after = apply(self._known.get(stored.event.stream), stored)
        if after is not None:
            self._known[stored.event.stream] = after

    def get(self, stream: StreamId) -> Letter | None:
        """One letter."""
        return self._known.get(stream)

    def unresolved(self) -> Iterator[Letter]:
        """All that are open or being retried, oldest first."""
        return (each for each in tuple(self._known.values()) if each.state is not LetterState.RESOLVED)


def decide(letters: Letters, intent: Event) -> Decision:
    """What a wish to retry leads to: it is stored, and whoever shows events to controllers finds it there.

    Raises:
        Refused: codes `deadletter.unknown`, `deadletter.resolved`, `event.payload`.
    """
    payload(intent, RetryRequested)
    letter = letters.get(intent.stream)
    if letter is None:
        raise Refused("there is no such dead letter", code="deadletter.unknown", hint="agentplane deadletters list")
    if intent.id in letter.asked or letter.state is LetterState.RETRYING:
        return NOTHING
    if letter.state is LetterState.RESOLVED:
        raise Refused("it is resolved already", code="deadletter.resolved")
    return Decision(appends=(Append(stream=intent.stream, expected_version=letter.version, events=(intent,)),))


def resolution(letter: Letter, event: Event) -> Append:
    """The letter's end, upon the letter as it was when the event was shown again."""
    return Append(stream=letter.stream, expected_version=letter.version, events=(event,))


def resolved(controller: str, version: int, message: str) -> msgspec.Struct:
    """The payload of `controller.dead-letter-resolved`."""
    return Resolved(controller=controller, controller_version=version, message=message[:500])
