"""Collecting a decision's events: ids, causes and expected versions follow from what was decided upon. Pure.

An event's id is derived from the decision's source, the controller and its place in the decision. So whoever decides
the same upon the same, in another process or after a crash, writes the very same events, and the store keeps them once.
"""

import uuid
from datetime import datetime

import msgspec

from agentplane.controllers.decision import Decision
from agentplane.controllers.versions import version_of
from agentplane.events.codec import data_of
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.ids import NAMESPACE, derived_id


def source_of(text: str) -> uuid.UUID:
    """The source of decisions about something that is no event of ours, by its name or digest."""
    return uuid.uuid5(NAMESPACE, text)


class Draft:
    """A decision in the making. Owned by one controller call; `decision` ends it."""

    def __init__(
        self,
        controller: str,
        source: uuid.UUID,
        *,
        correlation_id: uuid.UUID,
        now: datetime,
        causation_id: uuid.UUID | None = None,
        actor: str | None = None,
    ) -> None:
        """Begin. `causation_id`: the event that made us decide; None: nothing of ours did."""
        self._controller = controller
        self._source = source
        self._correlation_id = correlation_id
        self._causation_id = causation_id
        self._actor = actor or f"controller:{controller}"
        self._now = now
        self._streams: dict[StreamId, tuple[int, list[Event]]] = {}
        self._count = 0

    @property
    def now(self) -> datetime:
        """When it is decided."""
        return self._now

    def take(self, event: Event, version: int) -> None:
        """Add an event that came from outside as it is; `version` is its stream's before this decision."""
        self._streams.setdefault(event.stream, (version, []))[1].append(event)

    def add(self, stream: StreamId, version: int, type_: str, payload: msgspec.Struct) -> None:
        """Add a fact; `version` is the stream's before this decision."""
        event = Event(
            id=derived_id(self._source, self._controller, version_of(self._controller), self._count),
            stream=stream,
            phase=Phase.FACT,
            type=type_,
            actor=self._actor,
            time=self._now,
            correlation_id=self._correlation_id,
            causation_id=self._causation_id,
            data=data_of(payload),
        )
        self._count += 1
        self.take(event, version)

    def decision(self, *, wake_executors: tuple[str, ...] = ()) -> Decision:
        """All of it, one append per stream, in the order in which streams were first used."""
        appends = tuple(
            Append(stream=stream, expected_version=version, events=tuple(events))
            for stream, (version, events) in self._streams.items()
        )
        return Decision(appends=appends, wake_executors=wake_executors)
