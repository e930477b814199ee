"""What would follow from a wish: admission and every controller, over a copy of one resource. Pure; stores nothing.

Requeues are shown, not waited for.
"""

import uuid
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from agentplane.domains import admission
from agentplane.domains.controller import Decision
from agentplane.domains.model import Domain
from agentplane.domains.reconciling import conclude
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.domains.specs import read_wish
from agentplane.domains.state import Resources
from agentplane.domains.tasks import tasks_for
from agentplane.events.model import Append, Event, StoredEvent, StreamId
from agentplane.intents.resources import request_apply, request_delete

MAX_EVENTS: Final = 200
_TENANT, _ACTOR, _INTENT = "acme", "user:ada", uuid.UUID(int=1)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One decision and its events. `controller` "admission": what follows from the wish itself."""

    controller: str
    upon: str  # the type of the event that was looked at
    decision: Decision | None
    failure: str
    events: tuple[Event, ...]


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """All steps in order, and the resource after them. `complete` False: it would go on beyond the limit."""

    steps: tuple[Step, ...]
    after: Resource
    complete: bool

    @property
    def events(self) -> tuple[Event, ...]:
        """All that would be stored after the wish itself, in order."""
        return tuple(event for step in self.steps for event in step.events)


def play(domain: Domain, document: dict[str, Any], *, now: datetime, before: Resource | None = None) -> Simulation:
    """Play a document of a domain through admission and its controllers, for the domain's own tests.

    `before`: the resource as another simulation left it (`after`); None: there is none yet.

    Raises:
        Refused, NotFound: the document does not fit, as `read_wish` and `simulate`.
    """
    registry = Registry((domain,))
    wish = read_wish(registry, document, tenant=_TENANT, kind=None, origin="document")
    intent = request_apply(
        _INTENT,
        stream=wish.stream,
        api_version=wish.request.api_version,
        spec=wish.request.spec,
        labels=wish.request.labels,
        finalizers=wish.request.finalizers,
        actor=_ACTOR,
        now=now,
    )
    return simulate(registry, before, intent, now)


def play_deletion(domain: Domain, before: Resource, *, now: datetime) -> Simulation:
    """Play the wish to delete a resource, as another simulation left it. Raises Refused, NotFound as `simulate`."""
    stream = StreamId(before.tenant, before.kind, before.namespace, before.name)
    return simulate(Registry((domain,)), before, request_delete(_INTENT, stream=stream, actor=_ACTOR, now=now), now)


def simulate(registry: Registry, before: Resource | None, intent: Event, now: datetime) -> Simulation:
    """Play a wish through. Raises Refused, NotFound as `admission.decide`."""
    world = _World(before, intent.stream, now)
    admitted = admission.decide(registry, world.resources, intent, now).appends
    first = world.append(admitted)
    steps = [Step(controller="admission", upon=intent.type, decision=None, failure="", events=_events(admitted)[1:])]
    queue = deque(first)
    while queue and world.count < MAX_EVENTS:
        for task in tasks_for(registry, queue.popleft()):
            concluded = conclude(registry, world.resources, task, now)
            if not concluded.appends:
                continue
            queue.extend(world.append(concluded.appends))
            steps.append(
                Step(
                    controller=task.controller.NAME,
                    upon=task.stored.event.type,
                    decision=concluded.decision,
                    failure=concluded.failure,
                    events=_events(concluded.appends),
                )
            )
    after = world.resources.get(intent.stream) or admission.absent(intent.stream)
    return Simulation(steps=tuple(steps), after=after, complete=not queue)


def _events(appends: Sequence[Append]) -> tuple[Event, ...]:
    return tuple(event for append in appends for event in append.events)


class _World:
    """One resource, and streams that its events would reach, numbered from where the resource stands."""

    def __init__(self, before: Resource | None, stream: StreamId, now: datetime) -> None:
        self.resources = Resources()
        self.count = 0
        self._now = now
        self._sequence = 0
        self._versions: dict[StreamId, int] = {}
        if before is not None:
            handled = (each.sequence for each in before.controllers.values())
            self._sequence = max((before.last_sequence, *handled))
            self._versions[stream] = before.version
            self.resources.put(stream, before)

    def append(self, appends: Sequence[Append]) -> tuple[StoredEvent, ...]:
        return tuple(self._store(event) for event in _events(appends))

    def _store(self, event: Event) -> StoredEvent:
        self.count += 1
        self._sequence += 1
        version = self._versions.get(event.stream, 0) + 1
        self._versions[event.stream] = version
        stored = StoredEvent(event=event, sequence=self._sequence, stream_version=version, recorded_at=self._now)
        self.resources.apply(stored)
        return stored
