"""Events with chosen causes, for graphs and filters."""

import uuid
from datetime import UTC, datetime, timedelta

from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.ids import EventId

START = datetime(2026, 3, 1, tzinfo=UTC)


def number(value: int) -> uuid.UUID:
    return uuid.UUID(int=value)


def made(sequence: int, cause: int | None = None, *, type_: str = "thing.changed", name: str = "one") -> StoredEvent:
    """Event `sequence`, whose id is its sequence, caused by event `cause`."""
    event = Event(
        id=EventId(number(sequence)),
        stream=StreamId("acme", "Thing", "default", name),
        phase=Phase.FACT,
        type=type_,
        actor="user:alice",
        time=START,
        correlation_id=number(10_000),
        causation_id=None if cause is None else number(cause),
        data={"n": sequence},
    )
    moment = START + timedelta(seconds=sequence)
    return StoredEvent(event=event, sequence=sequence, stream_version=sequence, recorded_at=moment)
