"""Decisions of domains' controllers taken again. Everything that they went by is in the log. Pure.

The resource is as its stream had it right before the decision, `now` is the decision's own time, and the event is named
by its causation. Where a controller decided nothing there is no record of when it was asked; so it must have nothing to
say upon some state of the resource between the event and the next one that it did decide upon.
"""

import uuid
from collections import defaultdict
from datetime import datetime
from typing import Final

import msgspec

from agentplane.controllers.decision import Decision
from agentplane.domains import admission
from agentplane.domains.controller import actor_of
from agentplane.domains.deadletters import RESOLVED, RETRY_REQUESTED, Letter, Letters
from agentplane.domains.reconciling import conclude_upon
from agentplane.domains.registry import Registry
from agentplane.domains.resource import DEAD_LETTERED, INTENTS, STATUS_CHANGED, Resource, StatusChanged
from agentplane.domains.state import Resources
from agentplane.domains.tasks import Conclusion, Task, retry, tasks_for
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import StoredEvent, StreamId

HEADS: Final = frozenset({STATUS_CHANGED, DEAD_LETTERED, RESOLVED})


class Silence(msgspec.Struct, kw_only=True):
    """An event that was shown to a controller and led to nothing, as far as is known."""

    task: Task
    states: list[tuple[Resource | None, datetime]]  # of its target since, and when


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A decision taken again; `why`: it could not be."""

    task: Task | None = None
    concluded: Conclusion | None = None
    why: str = ""


class DomainHistory:
    """The part of a log that domains' controllers look at, event by event."""

    def __init__(self, registry: Registry) -> None:
        self.resources = Resources()
        self.letters = Letters()
        self.settled = 0  # every event up to here was shown to everybody
        self._registry = registry
        self._sources: dict[uuid.UUID, StoredEvent] = {}
        self._silent: dict[tuple[str, uuid.UUID], Silence] = {}
        self._by_stream: defaultdict[StreamId, list[Silence]] = defaultdict(list)

    def apply(self, stored: StoredEvent) -> None:
        """Take the next event."""
        self.resources.apply(stored)
        self.letters.apply(stored)
        tasks = tasks_for(self._registry, stored)
        if tasks or stored.event.type in {*INTENTS, STATUS_CHANGED, RETRY_REQUESTED, DEAD_LETTERED}:
            self._sources[stored.event.id] = stored
        now = self.resources.get(stored.event.stream)
        for silence in self._by_stream.get(stored.event.stream, ()):
            silence.states.append((now, stored.recorded_at))
        for task in tasks:
            resource = self.resources.get(task.stream)
            if not conclude_upon(self._registry, resource, task, stored.recorded_at).appends:
                continue  # nothing to say at once: whatever came later, silence is an answer
            silence = Silence(task=task, states=[(resource, stored.recorded_at)])
            self._silent[task.controller.NAME, stored.event.id] = silence
            self._by_stream[task.stream].append(silence)

    def source(self, cause: uuid.UUID | None) -> StoredEvent | None:
        """The event that a decision names as its cause, or that a retry was about."""
        found = self._sources.get(cause) if cause else None
        letter = self._letter(found)
        return self._sources.get(letter.event_id) if letter else found

    def admitted(self, intent: StoredEvent, now: datetime) -> Decision:
        """Take the decision about a wish again. Raises Refused, NotFound as it may say now."""
        return admission.decide(self._registry, self.resources, intent.event, now)

    def again(self, name: str, head: StoredEvent) -> Again:
        """Take the decision again whose first event comes next."""
        cause = self._sources.get(head.event.causation_id) if head.event.causation_id else None
        if cause is None:
            return Again(why="the event that was decided upon is not in this history")
        if name not in self._registry.controllers:
            return Again(why="is gone")
        letter = self._letter(cause)
        task = self._task(name, cause, head.event.time) if letter is None else self._retry(letter, cause)
        if task is None:
            return Again(why="the event of the dead letter is not in this history")
        concluded = conclude_upon(self._registry, self.resources.get(task.stream), task, head.event.time)
        return Again(task=task, concluded=concluded)

    def heard(self, name: str, task: Task) -> tuple[Silence, ...]:
        """The controller has decided upon a task: it was silent at those before, on the same stream."""
        self._silent.pop((name, task.stored.event.id), None)
        if not task.requeued and task.letter is None:
            self.settled = max(self.settled, task.stored.sequence)
        kept, over = [], []
        for silence in self._by_stream[task.stream]:
            if name != silence.task.controller.NAME:
                kept.append(silence)
            elif silence.task.stored.sequence < task.stored.sequence:
                over.append(silence)
                self._silent.pop((name, silence.task.stored.event.id), None)
            elif silence.task.stored.event.id != task.stored.event.id:
                kept.append(silence)
        self._by_stream[task.stream] = kept
        return tuple(over)

    def left(self) -> tuple[Silence, ...]:
        """All upon which nothing was decided until the end."""
        return tuple(self._silent.values())

    def breaks(self, silence: Silence) -> Conclusion | None:
        """What would be decided now where nothing was, whenever it was asked; None: nothing, too."""
        first: Conclusion | None = None
        for resource, now in silence.states:
            concluded = conclude_upon(self._registry, resource, silence.task, now)
            if not concluded.appends:
                return None
            first = first or concluded
        return first

    def _task(self, name: str, cause: StoredEvent, now: datetime) -> Task:
        controller = self._registry.controllers[name]
        shown = next((each for each in tasks_for(self._registry, cause) if each.controller is controller), None)
        own = cause.event.type == STATUS_CHANGED and cause.event.actor == actor_of(name)
        if shown is not None and not (own and _is_due(cause, now)):
            return shown
        upcasters = self._registry.upcasters
        return Task(controller=controller, stored=cause, stream=cause.event.stream, requeued=own, upcasters=upcasters)

    def _letter(self, cause: StoredEvent | None) -> Letter | None:
        if cause is None or cause.event.type not in {RETRY_REQUESTED, DEAD_LETTERED}:
            return None
        return self.letters.get(cause.event.stream)

    def _retry(self, letter: Letter, cause: StoredEvent) -> Task | None:
        stored = self._sources.get(letter.event_id)
        return retry(self._registry, letter, stored, cause.event.id) if stored else None


def _is_due(cause: StoredEvent, now: datetime) -> bool:
    """Whether a controller asked with this event to look again, and its time had come: not its WATCH showed it."""
    try:
        at = payload(cause.event, StatusChanged).requeue_at
    except Refused:
        return False
    return at is not None and at <= now
