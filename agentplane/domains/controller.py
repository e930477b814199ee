"""What a controller is: it watches events, and decides about one resource by pure judgement.

A controller opens nothing, reads no clock and draws no lots: the same context gives the same decision, in every
process and years later. `agentplane` fills in ids, causes, correlation and generation, stores the decision with
optimistic concurrency, and shows a controller its own output only when its WATCH asks for that.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import msgspec
from pydantic import BaseModel

from agentplane.domains.resource import Resource
from agentplane.events.model import Event, Phase, StoredEvent, StreamId


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Which events a controller is shown. `own`: also those that it caused itself."""

    kind: str
    type: str = "resource.applied"  # a glob: "resource.*"
    phases: tuple[Phase, ...] = (Phase.FACT,)
    own: bool = False

    def wants(self, event: Event, controller: str) -> bool:
        """Whether this filter lets an event through to the controller of that name."""
        return (
            event.stream.kind == self.kind
            and event.phase in self.phases
            and fnmatchcase(event.type, self.type)
            and (self.own or event.actor != actor_of(controller))
        )


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision may depend on."""

    stored: StoredEvent  # what happened
    resource: Resource  # whom the decision is about, as of now
    spec: BaseModel  # its spec, as its kind's model
    now: datetime
    requeued: bool = False  # the controller itself asked to look again; `stored` is the event that says so

    @property
    def event(self) -> Event:
        """What happened, without its place in the log."""
        return self.stored.event


class Emit(msgspec.Struct, frozen=True, kw_only=True):
    """An event that follows. None: the stream of the resource; phase fact when completed, else internal."""

    type: str
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    phase: Phase | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What should follow; the runtime makes it so."""

    status: Mapping[str, Any] = msgspec.field(default_factory=dict)  # shallow patch; None takes a field away
    message: str = ""
    completed: bool = True
    emit: tuple[Emit, ...] = ()
    add_finalizers: tuple[str, ...] = ()
    remove_finalizers: tuple[str, ...] = ()
    requeue_after_s: int | None = None


class Controller(ABC):
    """Base of all controllers. VERSION rises when the same context is decided otherwise than before."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1
    WATCH: ClassVar[tuple[Watch, ...]]

    def target(self, event: Event) -> StreamId:
        """The resource that an event is about: the one on its own stream unless you say otherwise."""
        return event.stream

    def authorize(self, context: Context) -> None:  # noqa: B027 - a hook: most controllers have nothing to say
        """Whether to reconcile at all. Raises Denied: the resource's status says so, and nothing else follows."""

    @abstractmethod
    def reconcile(self, context: Context) -> Decision | None:
        """What should follow; None: nothing, and nothing is stored."""

    def watches(self, event: Event) -> bool:
        """Whether this controller is to be shown an event."""
        return any(watch.wants(event, self.NAME) for watch in self.WATCH)


def actor_of(controller: str) -> str:
    """A controller as an event's actor."""
    return f"controller:{controller}"
