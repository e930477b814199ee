"""Wishes about resources become facts, or nothing where nothing would change. Pure.

The wish is stored with what follows from it in one append, at the stream's expected version. A wish that changes
nothing is kept as a wish: it yields no fact, and a repeated delivery finds it.
"""

import uuid
from datetime import datetime

import msgspec

from agentplane.controllers.decision import Decision
from agentplane.controllers.drafts import Draft
from agentplane.domains import resource as r
from agentplane.domains.model import Kind
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.domains.specs import check_names, check_spec, same_spec
from agentplane.domains.state import Resources
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event, StreamId
from agentplane.ids import NAMESPACE


def decide(registry: Registry, resources: Resources, intent: Event, now: datetime) -> Decision:
    """What a wish to apply or delete leads to.

    Raises:
        NotFound: `kind.unknown`.
        Refused: `event.payload`, `resource.kind`, `resource.metadata`, `resource.invalid`, `resource.deleting`,
            `resource.unknown`.
    """
    stream = intent.stream
    kind = registry.documented(stream.kind)
    check_names(stream, str(stream))
    known = resources.get(stream) or absent(stream)
    draft = Draft("resources", intent.id, correlation_id=intent.correlation_id, causation_id=intent.id, now=now)
    draft.take(intent, known.version)
    facts = _apply(kind, known, intent) if intent.type == r.APPLY_REQUESTED else _delete(known, intent)
    for type_, fact in facts:
        draft.add(stream, known.version, type_, fact)
    return draft.decision()


def absent(stream: StreamId) -> Resource:
    """A resource of which nothing is known."""
    return Resource(tenant=stream.tenant, kind=stream.kind, namespace=stream.namespace, name=stream.name)


def _apply(kind: Kind, known: Resource, intent: Event) -> tuple[tuple[str, msgspec.Struct], ...]:
    wish = payload(intent, r.ApplyRequested)
    if wish.api_version != kind.api_version:
        raise Refused(f"{kind.name} has the apiVersion {kind.api_version}", code="resource.kind")
    if known.deleting:
        return _let_go(kind, known, wish, str(intent.stream))
    spec = check_spec(kind, wish.spec, str(intent.stream))
    finalizers = (known.finalizers if known.exists else ()) if wish.finalizers is None else wish.finalizers
    same = known.exists and same_spec(kind, known.spec, spec)
    if same and (known.labels, known.finalizers) == (wish.labels, finalizers):
        return ()
    fact = r.Applied(
        api_version=kind.api_version,
        uid=known.uid if known.exists and known.uid else uuid.uuid5(NAMESPACE, f"uid/{intent.id}"),
        generation=known.generation if same else (known.generation if known.exists else 0) + 1,
        spec=known.spec if same else spec,
        labels=wish.labels,
        finalizers=finalizers,
    )
    return ((r.APPLIED, fact),)


def _let_go(kind: Kind, known: Resource, wish: r.ApplyRequested, where: str) -> tuple[tuple[str, msgspec.Struct], ...]:
    """A resource that is being deleted takes one wish only: fewer finalizers, for those that nobody removes."""
    left = known.finalizers if wish.finalizers is None else wish.finalizers
    same = same_spec(kind, known.spec, check_spec(kind, wish.spec, where)) and known.labels == wish.labels
    if not same or known.uid is None or not set(left) < set(known.finalizers):
        hint = "wait until its finalizers are gone, or apply it as it is with fewer of them in metadata.finalizers"
        raise Refused("it is being deleted", code="resource.deleting", hint=hint)
    fact = r.Applied(
        api_version=kind.api_version,
        uid=known.uid,
        generation=known.generation,
        spec=known.spec,
        labels=known.labels,
        finalizers=left,
    )
    if left:
        return ((r.APPLIED, fact),)
    return ((r.APPLIED, fact), (r.DELETED, r.Deleted(uid=known.uid, generation=known.generation)))


def _delete(known: Resource, intent: Event) -> tuple[tuple[str, msgspec.Struct], ...]:
    wish = payload(intent, r.DeleteRequested)
    if not known.exists or known.uid is None:
        raise Refused("there is no such resource to delete", code="resource.unknown")
    if known.deleting:
        return ()
    asked = r.DeletionRequested(uid=known.uid, generation=known.generation, reason=wish.reason)
    if known.finalizers:
        return ((r.DELETION_REQUESTED, asked),)
    return ((r.DELETION_REQUESTED, asked), (r.DELETED, r.Deleted(uid=known.uid, generation=known.generation)))
