"""A resource and the payloads of the events that make it: the same for every kind. Pure."""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from agentplane.runs.model import Wire

APPLY_REQUESTED: Final = "resource.apply-requested"
DELETE_REQUESTED: Final = "resource.delete-requested"
APPLIED: Final = "resource.applied"
DELETION_REQUESTED: Final = "resource.deletion-requested"
DELETED: Final = "resource.deleted"
STATUS_CHANGED: Final = "resource.status-changed"
DEAD_LETTERED: Final = "controller.dead-lettered"

INTENTS: Final = (APPLY_REQUESTED, DELETE_REQUESTED)
DEAD_LETTER_KIND: Final = "DeadLetter"
# streams of these kinds are nobody's resources: their facts have rules of their own
# ("Work…" and "Foreign": recorded by people and agents, see agentplane.domains.work.streams)
RESERVED_KINDS: Final = frozenset(
    {"Run", "Executor", "Intent", "Import", "Rules", DEAD_LETTER_KIND}
    | {"WorkMail", "WorkAgent", "WorkProcess", "WorkVerification", "WorkAssignment", "WorkPatrol", "WorkMetrics"}
    | {"WorkRule", "WorkDecision", "WorkSprint", "WorkObjective", "Foreign"}
)


class ProgressState(StrEnum):
    """How far a controller is with a resource."""

    COMPLETED = "completed"
    PROGRESSING = "progressing"
    DENIED = "denied"  # its `authorize` said no
    DEAD_LETTER = "dead-letter"  # it failed at an event, which is kept as a dead letter


class ApplyRequested(Wire, frozen=True, kw_only=True):
    """Intent `resource.apply-requested`. `finalizers` None: leave them as they are."""

    api_version: str
    spec: dict[str, Any]
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] | None = None


class DeleteRequested(Wire, frozen=True, kw_only=True):
    """Intent `resource.delete-requested`."""

    reason: str = ""


class Applied(Wire, frozen=True, kw_only=True):
    """Fact `resource.applied`. `generation` is greater than before exactly when the spec changed."""

    api_version: str
    uid: uuid.UUID
    generation: int
    spec: dict[str, Any]
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class DeletionRequested(Wire, frozen=True, kw_only=True):
    """Fact `resource.deletion-requested`: it goes as soon as nobody's finalizer holds it."""

    uid: uuid.UUID
    generation: int
    reason: str = ""


class Deleted(Wire, frozen=True, kw_only=True):
    """Fact `resource.deleted`. Its history stays; the same name may be applied again, under another uid."""

    uid: uuid.UUID
    generation: int


class StatusChanged(Wire, frozen=True, kw_only=True):
    """Fact `resource.status-changed`: one controller's decision about one event."""

    controller: str
    controller_version: int
    uid: uuid.UUID
    generation: int  # that it looked at
    sequence: int  # of the newest event it has handled
    state: ProgressState
    message: str = ""
    patch: dict[str, Any] = msgspec.field(default_factory=dict)  # shallow; null takes a field away
    finalizers: tuple[str, ...] | None = None  # all that are left; None: unchanged
    requeue_at: datetime | None = None


class DeadLettered(Wire, frozen=True, kw_only=True):
    """Fact `controller.dead-lettered`: a controller could not handle an event. Nothing else waits for it."""

    controller: str
    controller_version: int
    event_id: uuid.UUID
    event_type: str
    sequence: int
    kind: str
    namespace: str
    name: str
    code: str
    reason: str  # empty where the words themselves may not be stored


class Progress(Wire, frozen=True, kw_only=True):
    """`status.controllers.<name>`: how far one controller is."""

    version: int
    state: ProgressState
    generation: int
    sequence: int
    message: str = ""
    requeue_at: datetime | None = None
    marked_by: uuid.UUID  # the event that says all this


class Resource(Wire, frozen=True, kw_only=True):
    """A resource as of its stream's `version`. `exists` False: never applied, or deleted."""

    tenant: str
    kind: str
    namespace: str
    name: str
    version: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    last_event: uuid.UUID | None = None
    last_intent: uuid.UUID | None = None
    exists: bool = False
    api_version: str = ""
    uid: uuid.UUID | None = None
    generation: int = 0
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)
    controllers: dict[str, Progress] = msgspec.field(default_factory=dict)
    author: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deletion_requested_at: datetime | None = None
    deletion_reason: str = ""
    unreadable: int = 0  # events of known types whose data could not be read

    @property
    def deleting(self) -> bool:
        """Whether it goes as soon as its finalizers are gone."""
        return self.exists and self.deletion_requested_at is not None


def document(resource: Resource) -> dict[str, Any]:
    """The resource as people write and read it: apiVersion, kind, metadata, spec, status."""
    plain = msgspec.to_builtins(resource)
    metadata = {
        "name": resource.name,
        "namespace": resource.namespace,
        "uid": plain["uid"],
        "generation": resource.generation,
        "resourceVersion": str(resource.version),
        "creationTimestamp": plain["createdAt"],
        "labels": resource.labels,
        "finalizers": plain["finalizers"],
    }
    if resource.deletion_requested_at is not None:
        metadata["deletionTimestamp"] = plain["deletionRequestedAt"]
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": resource.spec,
        "status": {**resource.status, "controllers": plain["controllers"]},
    }
