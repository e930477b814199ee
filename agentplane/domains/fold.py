"""Folding a resource's stream: (resource, event) -> resource. Pure; control, projection and dry run fold with it."""

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from agentplane.domains import resource as r
from agentplane.domains.resource import Progress, Resource
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Phase, StoredEvent

Step = Callable[[Resource, StoredEvent], Resource]


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    """(tenant, kind, namespace, name) of an event on a resource's stream; None for every other event."""
    stream = stored.event.stream
    if stream.kind in r.RESERVED_KINDS:
        return None
    return (stream.tenant, stream.kind, stream.namespace, stream.name)


def apply(before: Resource | None, stored: StoredEvent) -> Resource | None:
    """The resource after one more event of its stream; None while the stream is nobody's resource.

    An event of a known type that cannot be read moves the version and is counted: one bad event stops nothing.
    """
    if key(stored) is None:
        return before
    event, stream = stored.event, stored.event.stream
    known = before or Resource(
        tenant=stream.tenant,
        kind=stream.kind,
        namespace=stream.namespace,
        name=stream.name,
        first_sequence=stored.sequence,
    )
    step = _STEPS.get(event.type)
    try:
        changed = step(known, stored) if step is not None and event.phase is Phase.FACT else known
    except Refused:
        changed = replace(known, unreadable=known.unreadable + 1)
    intent = event.id if event.phase is Phase.INTENT else changed.last_intent
    return replace(
        changed,
        version=stored.stream_version,
        last_sequence=stored.sequence,
        last_event=event.id,
        last_intent=intent,
    )


def _applied(known: Resource, stored: StoredEvent) -> Resource:
    said = payload(stored.event, r.Applied)
    base = known if known.exists and known.uid == said.uid else _anew(known, stored)
    return replace(
        base,
        exists=True,
        api_version=said.api_version,
        uid=said.uid,
        generation=said.generation,
        labels=said.labels,
        finalizers=said.finalizers,
        spec=said.spec,
        updated_at=stored.recorded_at,
    )


def _anew(known: Resource, stored: StoredEvent) -> Resource:
    """The first time, or again after a deletion: nothing of the one before is left but its stream."""
    return Resource(
        tenant=known.tenant,
        kind=known.kind,
        namespace=known.namespace,
        name=known.name,
        first_sequence=known.first_sequence,
        last_intent=known.last_intent,
        unreadable=known.unreadable,
        created_at=stored.recorded_at,
    )


def _deletion_requested(known: Resource, stored: StoredEvent) -> Resource:
    said = payload(stored.event, r.DeletionRequested)
    at = known.deletion_requested_at or stored.recorded_at
    return replace(known, deletion_requested_at=at, deletion_reason=said.reason, updated_at=stored.recorded_at)


def _deleted(known: Resource, stored: StoredEvent) -> Resource:
    payload(stored.event, r.Deleted)
    return replace(known, exists=False, updated_at=stored.recorded_at)


def _status_changed(known: Resource, stored: StoredEvent) -> Resource:
    said = payload(stored.event, r.StatusChanged)
    if said.uid != known.uid:  # of the one that was deleted before
        return known
    progress = Progress(
        version=said.controller_version,
        state=said.state,
        generation=said.generation,
        sequence=said.sequence,
        message=said.message,
        requeue_at=said.requeue_at,
        marked_by=stored.event.id,
    )
    return replace(
        known,
        status=patched(known.status, said.patch),
        controllers={**known.controllers, said.controller: progress},
        finalizers=known.finalizers if said.finalizers is None else said.finalizers,
        updated_at=stored.recorded_at,
    )


def patched(status: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A status after a shallow patch; null takes a field away."""
    return {name: value for name, value in {**status, **patch}.items() if value is not None}


_STEPS: Final[dict[str, Step]] = {
    r.APPLIED: _applied,
    r.DELETION_REQUESTED: _deletion_requested,
    r.DELETED: _deleted,
    r.STATUS_CHANGED: _status_changed,
}
