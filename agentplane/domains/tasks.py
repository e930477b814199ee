"""One event for one controller: who is to be shown it, and the events that come out of it, numbered. Pure."""

import uuid
from datetime import datetime
from typing import Any

import msgspec

from agentplane.domains import resource as r
from agentplane.domains.controller import Controller, Decision, actor_of
from agentplane.domains.deadletters import Letter
from agentplane.domains.registry import Registry
from agentplane.errors import Refused
from agentplane.events.codec import data_of
from agentplane.events.model import Append, Event, Phase, StoredEvent, StreamId
from agentplane.events.origin import is_imported
from agentplane.events.upcasting import OURS, Upcasters
from agentplane.ids import derived_id


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One event, in today's form, for one controller."""

    controller: Controller
    stored: StoredEvent
    stream: StreamId  # whom it is about
    requeued: bool = False
    unread: Refused | None = None  # why the event cannot be read as today's; it is a dead letter then
    letter: Letter | None = None  # the dead letter that this is a retry of
    cause: uuid.UUID | None = None  # with `letter`: the event that made us retry
    upcasters: Upcasters = OURS  # the versions in which what follows is written


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What a task leads to; nothing to append: nothing to do. `failure`: why there is a dead letter."""

    appends: tuple[Append, ...] = ()
    decision: Decision | None = None
    failure: str = ""


def tasks_for(registry: Registry, stored: StoredEvent) -> tuple[Task, ...]:
    """Whom an event concerns; imported history concerns nobody.

    A controller whose own filter fails gets the event, so that its failure is kept.
    """
    if is_imported(stored.event.stream):
        return ()
    found = []
    unread: Refused | None = None
    try:
        stored = registry.upcasters.current(stored)
    except Refused as refused:
        unread = refused
    for controller in registry.controllers.values():
        try:
            if not controller.watches(stored.event):
                continue
            stream = controller.target(stored.event) if unread is None else stored.event.stream
        except Exception:  # noqa: BLE001 - a controller's own code; `conclude` meets the failure again and keeps it
            stream = stored.event.stream
        found.append(
            Task(controller=controller, stored=stored, stream=stream, unread=unread, upcasters=registry.upcasters)
        )
    return tuple(found)


def retry(registry: Registry, letter: Letter, stored: StoredEvent, cause: uuid.UUID) -> Task | None:
    """A dead letter's event for its controller once more; None: no such controller is installed any more."""
    controller = registry.controllers.get(letter.controller)
    if controller is None:
        return None
    shown = next((task for task in tasks_for(registry, stored) if task.controller is controller), None)
    own = stored.event.type == r.STATUS_CHANGED and stored.event.actor == actor_of(controller.NAME)
    own_task = Task(
        controller=controller, stored=stored, stream=stored.event.stream, upcasters=registry.upcasters, requeued=own
    )
    task = shown or own_task
    return msgspec.structs.replace(task, letter=letter, cause=cause)


class Output:
    """Numbers a task's events."""

    def __init__(self, task: Task, now: datetime) -> None:
        self.controller = task.controller
        self._source = task.stored.event
        self._cause = task.cause or task.stored.event.id
        self._upcasters = task.upcasters
        self._now = now
        self._count = 0

    def event(
        self, stream: StreamId, type_: str, data: msgspec.Struct | dict[str, Any], phase: Phase = Phase.FACT
    ) -> Event:
        """The next event of the task's output."""
        controller = self.controller
        event = Event(
            id=derived_id(self._cause, controller.NAME, controller.VERSION, self._count),
            stream=stream,
            phase=phase,
            type=type_,
            type_version=self._upcasters.version(type_),
            actor=actor_of(controller.NAME),
            time=self._now,
            correlation_id=self._source.correlation_id,
            causation_id=self._cause,
            data=data_of(data) if isinstance(data, msgspec.Struct) else data,
        )
        self._count += 1
        return event
