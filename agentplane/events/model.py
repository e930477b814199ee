"""The event envelope. Structured-mode CloudEvents 1.0 is its JSON form (agentplane.events.cloudevents). Pure.

Nothing here can be part of a cycle (data are JSON), so the garbage collector need not walk over events.
"""

import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from agentplane.ids import EventId


class Phase(StrEnum):
    """Where in the corridor an event stands."""

    INTENT = "intent"  # what someone wants, imperative
    INTERNAL = "internal"  # a step between
    FACT = "fact"  # what happened, past tense


class StreamId(msgspec.Struct, frozen=True, order=True, gc=False):
    """One resource's history: `(tenant, kind, namespace, name)`."""

    tenant: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.kind}/{self.namespace}/{self.name}"


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change, before it is stored. `data`: a JSON object without floats or integers beyond 2^53 - 1."""

    id: EventId
    stream: StreamId
    phase: Phase
    type: str  # "run.placed": dotted, past tense for facts
    type_version: int = 1
    actor: str  # "user:alice", "controller:runs", "executor:exec-1"
    time: datetime  # when it happened, by its source's clock; never an order
    correlation_id: uuid.UUID
    causation_id: uuid.UUID | None = None  # None: nothing of ours caused it
    data: dict[str, Any]


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event with its place in the log."""

    event: Event
    sequence: int  # global, gap-free, 1-based; append order = commit order
    stream_version: int  # 1-based within its stream
    recorded_at: datetime  # when the store took it


class Append(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Events for one stream. `expected_version` is the stream's version before them; None: whatever it is."""

    stream: StreamId
    expected_version: int | None
    events: tuple[Event, ...]
