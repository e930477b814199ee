"""From a controller's decision to events: everything around the judgement itself. Pure.

Ids are derived from the event that was handled, the controller, its version and the place in the output; so the same
event handled again gives the same events. `resource.status-changed` comes first and carries how far the controller is:
who loses the race at the stream's version, or sees the event again, finds it handled.

A controller that fails leaves a dead letter with the reason, and everything else goes on. A retry shows the same event
again, upon the resource as it is by then; its ids are derived from the wish to retry.
"""

from datetime import datetime, timedelta
from typing import Final

from agentplane.bus.subjects import TYPE
from agentplane.domains import deadletters
from agentplane.domains import resource as r
from agentplane.domains.controller import Context, Decision, Emit
from agentplane.domains.deadletters import Letter
from agentplane.domains.registry import Registry
from agentplane.domains.resource import DeadLettered, Progress, ProgressState, Resource, StatusChanged
from agentplane.domains.specs import model_of
from agentplane.domains.state import Resources
from agentplane.domains.tasks import Conclusion, Output, Task
from agentplane.errors import AgentplaneError, Denied, Refused
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.events.upcasting import OWN_TYPES

MAX_EMIT: Final = 100
MAX_REQUEUE_S: Final = 366 * 86_400


def conclude(registry: Registry, resources: Resources, task: Task, now: datetime) -> Conclusion:
    """What follows from showing an event to a controller. Never raises for what a controller does."""
    return conclude_upon(registry, resources.get(task.stream), task, now)


def conclude_upon(registry: Registry, resource: Resource | None, task: Task, now: datetime) -> Conclusion:
    """The same upon one resource; it reads nothing else, so it may run beside whoever changes the others."""
    try:
        _check_target(task)
        if resource is None or not resource.exists or _handled(resource, task):
            return _nothing(task, now)
        decision, state = _judged(registry, resource, task, now)
        if decision is None and (task.letter is not None or not task.requeued):
            return _nothing(task, now)
        decision = decision or Decision(message=resource.controllers[task.controller.NAME].message)
        events = _outcome(registry, resource, task, decision, state=state, now=now)
    except Exception as error:  # noqa: BLE001 - a controller's own code, which may fail in any way
        code = error.code if isinstance(error, AgentplaneError) else f"controller.{type(error).__name__}"
        return dead_letter(resource, task, code=code, reason=str(error)[:500], now=now)
    return Conclusion(appends=events, decision=decision)


def _nothing(task: Task, now: datetime) -> Conclusion:
    """Nothing to store, but that a retried letter is resolved by that."""
    if task.letter is None:
        return Conclusion()
    return Conclusion(appends=(_resolution(task.letter, Output(task, now), "nothing to do"),))


def _resolution(letter: Letter, output: Output, message: str) -> Append:
    controller = output.controller
    fact = deadletters.resolved(controller.NAME, controller.VERSION, message)
    return deadletters.resolution(letter, output.event(letter.stream, deadletters.RESOLVED, fact))


def dead_letter(resource: Resource | None, task: Task, *, code: str, reason: str, now: datetime) -> Conclusion:
    """Keep that a controller could not handle an event, beside it and in the resource's status."""
    event, controller = task.stored.event, task.controller
    letter = DeadLettered(
        controller=controller.NAME,
        controller_version=controller.VERSION,
        event_id=event.id,
        event_type=event.type,
        sequence=task.stored.sequence,
        kind=event.stream.kind,
        namespace=event.stream.namespace,
        name=event.stream.name,
        code=code,
        reason=reason,
    )
    output = Output(task, now)
    stream = task.letter.stream if task.letter else _letter_stream(task)
    version = task.letter.version if task.letter else None
    appends = [Append(stream=stream, expected_version=version, events=(output.event(stream, r.DEAD_LETTERED, letter),))]
    ours = resource is not None and resource.tenant == event.stream.tenant
    if resource is not None and ours and resource.exists and not _handled(resource, task):
        words = f"{code}: {reason}" if reason else code
        status = _status(resource, task, Decision(message=words), ProgressState.DEAD_LETTER, now)
        appends.append(
            Append(
                stream=task.stream,
                expected_version=resource.version,
                events=(output.event(task.stream, r.STATUS_CHANGED, status),),
            )
        )
    return Conclusion(appends=tuple(appends), failure=f"{code}: {reason}")


def _letter_stream(task: Task) -> StreamId:
    event = task.stored.event
    name = f"{task.controller.NAME[:50]}-{event.id.hex[:12]}"
    return StreamId(event.stream.tenant, r.DEAD_LETTER_KIND, "default", name)


def _check_target(task: Task) -> None:
    if task.unread is not None:
        raise task.unread
    if not task.controller.watches(task.stored.event) and not task.requeued:
        raise Refused("its WATCH does not want this event", code="controller.watch")
    if task.stream.tenant != task.stored.event.stream.tenant:
        raise Refused("a controller may not reach into another tenant", code="controller.tenant")


def _handled(resource: Resource, task: Task) -> bool:
    if task.letter is not None:
        return False  # the letter's version says whether somebody else has retried it
    progress = resource.controllers.get(task.controller.NAME)
    if task.requeued:
        return progress is None or progress.marked_by != task.stored.event.id
    return progress is not None and progress.sequence >= task.stored.sequence


def _judged(
    registry: Registry, resource: Resource, task: Task, now: datetime
) -> tuple[Decision | None, ProgressState | None]:
    spec = model_of(registry.kind(resource.kind), resource.spec)
    context = Context(stored=task.stored, resource=resource, spec=spec, now=now, requeued=task.requeued)
    try:
        task.controller.authorize(context)
    except Denied as denied:
        return Decision(message=f"{denied.code}: {denied}"[:500]), ProgressState.DENIED
    decision = task.controller.reconcile(context)
    if decision is not None and not isinstance(decision, Decision):
        raise Refused(f"reconcile returned a {type(decision).__name__}, not a Decision", code="controller.decision")
    return decision, None


def _outcome(
    registry: Registry,
    resource: Resource,
    task: Task,
    decision: Decision,
    *,
    state: ProgressState | None,
    now: datetime,
) -> tuple[Append, ...]:
    done = ProgressState.COMPLETED if decision.completed else ProgressState.PROGRESSING
    status = _status(resource, task, decision, state or done, now)
    output = Output(task, now)
    streams: dict[StreamId, list[Event]] = {task.stream: [output.event(task.stream, r.STATUS_CHANGED, status)]}
    if len(decision.emit) > MAX_EMIT:
        raise Refused(f"{len(decision.emit)} events at once; at most {MAX_EMIT}", code="controller.emit")
    for emit in decision.emit:
        stream = _stream(registry, task, emit)
        phase = emit.phase or (Phase.FACT if decision.completed else Phase.INTERNAL)
        streams.setdefault(stream, []).append(output.event(stream, emit.type, emit.data, phase))
    if resource.deleting and status.finalizers == () and resource.uid is not None:
        gone = r.Deleted(uid=resource.uid, generation=resource.generation)
        streams[task.stream].append(output.event(task.stream, r.DELETED, gone))
    appends = tuple(
        Append(
            stream=stream,
            expected_version=resource.version if stream == task.stream else None,
            events=tuple(events),
        )
        for stream, events in streams.items()
    )
    return (*appends, _resolution(task.letter, output, decision.message)) if task.letter else appends


def _stream(registry: Registry, task: Task, emit: Emit) -> StreamId:
    own = task.stream
    kind = emit.kind or own.kind
    if emit.type.startswith(OWN_TYPES) or not TYPE.fullmatch(emit.type):
        raise Refused(f"{emit.type[:63]!r} is not a type that a controller may emit", code="controller.emit")
    if kind not in registry.kinds or emit.phase is Phase.INTENT:
        raise Refused("a controller emits facts and internal events about known kinds", code="controller.emit")
    return StreamId(own.tenant, kind, emit.namespace or own.namespace, emit.name or own.name)


def _status(resource: Resource, task: Task, decision: Decision, state: ProgressState, now: datetime) -> StatusChanged:
    if "controllers" in decision.status:
        raise Refused("status.controllers is the runtime's", code="controller.decision")
    if resource.uid is None:
        raise Refused("a resource without a uid has no status", code="controller.decision")
    before = resource.controllers.get(task.controller.NAME)
    return StatusChanged(
        controller=task.controller.NAME,
        controller_version=task.controller.VERSION,
        uid=resource.uid,
        generation=resource.generation,
        sequence=_reached(before, task),
        state=state,
        message=decision.message[:500],
        patch=dict(decision.status),
        finalizers=_finalizers(resource, decision),
        requeue_at=_requeue_at(decision, now),
    )


def _reached(before: Progress | None, task: Task) -> int:
    if before is None:
        return task.stored.sequence
    if task.letter is not None:
        return max(before.sequence, task.stored.sequence)
    return before.sequence if task.requeued else task.stored.sequence


def _finalizers(resource: Resource, decision: Decision) -> tuple[str, ...] | None:
    if not decision.add_finalizers and not decision.remove_finalizers:
        return None
    added = () if resource.deleting else decision.add_finalizers
    wanted = dict.fromkeys((*resource.finalizers, *added))
    return tuple(each for each in wanted if each not in decision.remove_finalizers)


def _requeue_at(decision: Decision, now: datetime) -> datetime | None:
    if decision.requeue_after_s is None:
        return None
    if not 0 < decision.requeue_after_s <= MAX_REQUEUE_S:
        raise Refused("requeue_after_s must be from 1 second to a year", code="controller.decision")
    return now + timedelta(seconds=decision.requeue_after_s)
