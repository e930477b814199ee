"""Resources of every domain: wishes in, controllers shown what happened, their decisions stored.

One control process at a time shows events to controllers: it holds the cursor `controllers` over the log, which moves
on only when everything that follows from an event is stored. After a crash some events are shown again; what they led
to has derived ids and is found handled.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.domains import admission, reconciling
from agentplane.domains.reconciling import Task
from agentplane.domains.registry import Registry
from agentplane.errors import AgentplaneError, Conflict, NotFound, Refused, Transient
from agentplane.events.model import Event, StoredEvent, StreamId
from agentplane.store.outbox import Place
from services.control.runtime import Runtime

log = get_logger()

CURSOR: Final = "controllers"  # the name of the cursor over the log
_PAGE: Final = 500
_RECENT: Final = 50  # events of a stream among which the one that asked for a requeue is looked for first


class Cursor(Protocol):
    """Where the controllers are in the log; agentplane.store.outbox.OutboxCursor."""

    async def claim(self) -> Place | None:
        """Where they are; None while another process has the cursor."""
        ...

    async def save(self, place: Place) -> None:
        """Keep a new place."""
        ...


class ResourceDesk:
    """Takes wishes to apply and to delete."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry

    async def act(self, intent: Event, deliveries: int) -> None:
        """Store what follows from a wish, once. Raises Refused, Transient."""
        if deliveries > 1 and await self._stored(intent):
            return

        def decide(state: ControlState, now: datetime) -> Decision:
            return admission.decide(self._registry, state.resources, intent, now)

        try:
            await self._runtime.settle(decide)
        except Transient:
            if not await self._stored(intent):
                raise
        except NotFound as unknown:  # a kind that no domain here declares
            raise Refused(str(unknown), code=unknown.code, hint=unknown.hint) from unknown

    async def _stored(self, intent: Event) -> bool:
        stream = await self._runtime.store.read_stream(intent.stream)
        found = next((stored.event for stored in stream if stored.event.id == intent.id), None)
        if found is not None and (found.data, found.actor, found.type) != (intent.data, intent.actor, intent.type):
            raise Refused("another intent is stored under this id", code="intent.duplicate-id")
        return found is not None


class Reconciler:
    """Shows every event to the controllers that watch for it, and looks again when one asked for it."""

    def __init__(self, runtime: Runtime, registry: Registry, cursor: Cursor, *, look_again_s: float) -> None:
        """`look_again_s`: how often it is tried to become the one who does this, and requeues are looked at."""
        self._runtime = runtime
        self._registry = registry
        self._cursor = cursor
        self._look_again_s = look_again_s
        self._position = -1  # unknown: not ours

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("controllers wait", code=error.code, error=str(error))
                await asyncio.sleep(min(error.delay_s, self._look_again_s))
            if self._position < 0:
                await asyncio.sleep(self._look_again_s)
            elif self._position >= self._runtime.state.position:
                await self._runtime.moved(self._until_due())

    async def catch_up(self) -> None:
        """Handle everything up to the head of the log, then what is due. Raises Transient."""
        place = await self._cursor.claim()
        if place is None:
            self._position = -1
            return
        self._position = place.position
        while events := await self._runtime.store.read(self._position, _PAGE):
            for stored in events:
                await self._show(stored)
                self._position = stored.sequence
            await self._cursor.save(Place(self._position))
        for when, stream, name in self._runtime.state.resources.due():
            if when <= self._runtime.now():
                await self._look_again(stream, name)

    async def _show(self, stored: StoredEvent) -> None:
        tasks = reconciling.tasks_for(self._registry, stored)
        if tasks and self._runtime.state.position < stored.sequence:
            await self._runtime.catch_up()
        for task in tasks:
            await self._handle(task)

    async def _look_again(self, stream: StreamId, name: str) -> None:
        controller = self._registry.controllers.get(name)
        stored = await self._asked_by(stream, name)
        if controller is not None and stored is not None:
            await self._handle(Task(controller=controller, stored=stored, stream=stream, requeued=True))

    async def _asked_by(self, stream: StreamId, name: str) -> StoredEvent | None:
        resource = self._runtime.state.resources.get(stream)
        if resource is None or name not in resource.controllers:
            return None
        wanted = resource.controllers[name].marked_by
        for after in (max(0, resource.version - _RECENT), 0):
            events = await self._runtime.store.read_stream(stream, after)
            if found := next((stored for stored in events if stored.event.id == wanted), None):
                return found
        return None

    async def _handle(self, task: Task) -> None:
        try:
            await self._runtime.settle(self._concluding(task))
        except (Refused, Conflict) as refused:  # the store will not have what the controller says
            await self._bury(task, refused)

    def _concluding(self, task: Task) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            concluded = reconciling.conclude(self._registry, state.resources, task, now)
            if concluded.failure:
                log.error("dead letter", controller=task.controller.NAME, event_id=str(task.stored.event.id))
            return Decision(appends=concluded.appends)

        return decide

    async def _bury(self, task: Task, refused: AgentplaneError) -> None:
        """Without words: they may repeat what may not be stored."""

        def decide(state: ControlState, now: datetime) -> Decision:
            resource = state.resources.get(task.stream)
            return Decision(
                appends=reconciling.dead_letter(resource, task, code=refused.code, reason="", now=now).appends
            )

        log.error("dead letter", controller=task.controller.NAME, event_id=str(task.stored.event.id), code=refused.code)
        try:
            await self._runtime.settle(decide)
        except (Refused, Conflict) as error:
            log.error("a dead letter cannot be stored", controller=task.controller.NAME, code=error.code)  # noqa: TRY400

    def _until_due(self) -> float:
        due = self._runtime.state.resources.due()
        wait_s = (due[0][0] - self._runtime.now()).total_seconds() if due else self._look_again_s
        return min(max(wait_s, 0.0), self._look_again_s)
