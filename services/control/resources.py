"""Resources of every domain: wishes in, controllers shown what happened, their decisions stored.

One control process at a time shows events to controllers: it holds the cursor `controllers` over the log, which moves
on only when everything that follows from an event is stored. After a crash some events are shown again; what they led
to has derived ids and is found handled.
"""

import asyncio
import uuid
from datetime import datetime
from typing import Final, Protocol

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.domains import admission, reconciling
from agentplane.domains.deadletters import RETRY_REQUESTED, Letter, LetterState
from agentplane.domains.registry import Registry
from agentplane.domains.tasks import Task, retry, tasks_for
from agentplane.errors import Broken, Conflict, NotFound, Refused, Transient
from agentplane.events.model import Event, StoredEvent, StreamId
from agentplane.events.upcasting import NEWER
from agentplane.store.outbox import Place
from services.control.limits import TimeLimit
from services.control.repeats import stored_before
from services.control.runtime import Runtime

log = get_logger()

CURSOR: Final = "controllers"  # the name of the cursor over the log
_PAGE: Final = 500
_GATHER_S: Final = 0.004  # after a look at what was appended: events that come together cost one look
_PAUSE_S: Final = 0.05  # between looks at what is due, should it stay so
_RECENT: Final = 50  # events of a stream among which the one that asked for a requeue is looked for first


class _Moved(Exception):
    pass


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
        if deliveries > 1 and await stored_before(self._runtime.store, intent):
            return

        def decide(state: ControlState, now: datetime) -> Decision:
            return admission.decide(self._registry, state.resources, intent, now)

        try:
            await self._runtime.settle(decide)
        except NotFound as unknown:  # a kind that no domain here declares
            raise Refused(str(unknown), code=unknown.code, hint=unknown.hint) from unknown


class Reconciler:
    """Shows every event to the controllers that watch for it, and looks again when one asked for it."""

    def __init__(
        self, runtime: Runtime, registry: Registry, cursor: Cursor, *, look_again_s: float, limit_s: float = 10.0
    ) -> None:
        """`look_again_s`: how often it is tried to become the one who does this, and requeues are looked at.

        `limit_s`: that a controller may take for one decision.
        """
        self._runtime = runtime
        self._registry = registry
        self._cursor = cursor
        self._look_again_s = look_again_s
        self._limit = TimeLimit(limit_s)
        self._position = -1  # unknown: not ours

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            before = self._position
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("controllers wait", code=error.code, error=str(error))
                await asyncio.sleep(min(error.delay_s, self._look_again_s))
            if self._position != before:
                await asyncio.sleep(_GATHER_S)
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
        if self._position < 0:
            await self._retry_what_is_known_now()
        self._position = place.position
        while events := await self._runtime.store.read(self._position, _PAGE):
            for stored in events:
                await self._show(stored)
                self._position = stored.sequence
            await self._cursor.save(Place(self._position))
            if len(events) < _PAGE:
                break
        for when, stream, name in self._runtime.state.resources.due():
            if when <= self._runtime.now():
                await self._look_again(stream, name)

    async def _show(self, stored: StoredEvent) -> None:
        tasks = tasks_for(self._registry, stored)
        retried = stored.event.type == RETRY_REQUESTED
        if (tasks or retried) and self._runtime.state.position < stored.sequence:
            await self._runtime.catch_up()
        for task in tasks:
            await self._handle(task)
        if retried:
            await self._retry(stored.event.stream, stored.event.id)

    async def _retry(self, stream: StreamId, cause: uuid.UUID) -> None:
        """Show a dead letter's event again, unless that has been done."""
        letter = self._runtime.state.letters.get(stream)
        if letter is None or letter.state is not LetterState.RETRYING or letter.asked[-1] != cause:
            return
        task = await self._retry_of(letter, cause)
        if task is None:
            log.error("nothing to retry with", letter=letter.name, controller=letter.controller)
            return
        await self._handle(task)

    async def _retry_of(self, letter: Letter, cause: uuid.UUID) -> Task | None:
        found = await self._runtime.store.read(letter.sequence - 1, 1)
        same = found and found[0].event.id == letter.event_id and found[0].event.stream.tenant == letter.tenant
        return retry(self._registry, letter, found[0], cause) if same else None

    async def _retry_what_is_known_now(self) -> None:
        """Events that were too new for whoever saw them first, and are not for us."""
        for letter in self._runtime.state.letters.unresolved():
            if letter.code == NEWER:
                task = await self._retry_of(letter, letter.last_event)
                if task is not None and task.unread is None:
                    await self._handle(task)

    async def _look_again(self, stream: StreamId, name: str) -> None:
        controller = self._registry.controllers.get(name)
        stored = await self._asked_by(stream, name)
        if controller is not None and stored is not None:
            upcasters = self._registry.upcasters
            await self._handle(
                Task(controller=controller, stored=stored, stream=stream, requeued=True, upcasters=upcasters)
            )

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
            while not await self._handled(task):
                pass  # the resource moved while the controller judged it: it judges what is there now
        except (Refused, Conflict) as refused:  # the store will not have what the controller says
            await self._bury(task, refused.code)

    async def _handled(self, task: Task) -> bool:
        """Whether what follows is stored. The judgement itself runs beside us, under the time limit."""
        resource, now = self._runtime.state.resources.get(task.stream), self._runtime.now()
        try:
            concluded = await self._limit.call(
                task.controller.NAME, lambda: reconciling.conclude_upon(self._registry, resource, task, now)
            )
        except Broken as broken:
            concluded = reconciling.dead_letter(resource, task, code=broken.code, reason=str(broken), now=now)
        if concluded.failure:
            log.error("dead letter", controller=task.controller.NAME, event_id=str(task.stored.event.id))

        def decide(state: ControlState, _: datetime) -> Decision:
            if state.resources.get(task.stream) is not resource or _retried(state, task):
                raise _Moved
            return Decision(appends=concluded.appends)

        try:
            await self._runtime.settle(decide)
        except _Moved:
            return _retried(self._runtime.state, task)
        return True

    async def _bury(self, task: Task, code: str) -> None:
        """Without words: they may repeat what may not be stored."""

        def decide(state: ControlState, now: datetime) -> Decision:
            if _retried(state, task):
                return NOTHING
            resource = state.resources.get(task.stream)
            return Decision(appends=reconciling.dead_letter(resource, task, code=code, reason="", now=now).appends)

        log.error("dead letter", controller=task.controller.NAME, event_id=str(task.stored.event.id), code=code)
        try:
            await self._runtime.settle(decide)
        except (Refused, Conflict) as error:
            log.error("a dead letter cannot be stored", controller=task.controller.NAME, code=error.code)  # noqa: TRY400

    def _until_due(self) -> float:
        due = self._runtime.state.resources.due()
        wait_s = (due[0][0] - self._runtime.now()).total_seconds() if due else self._look_again_s
        return min(max(wait_s, _PAUSE_S), self._look_again_s)


def _retried(state: ControlState, task: Task) -> bool:
    """Whether the letter that this is a retry of has moved on: somebody else has retried it."""
    if task.letter is None:
        return False
    now = state.letters.get(task.letter.stream)
    return now is None or now.version != task.letter.version
