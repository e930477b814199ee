"""Events of two tenants over two midnights, the same ones every time."""

import uuid
from datetime import UTC, datetime, timedelta

from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.ids import EventId

START = datetime(2026, 1, 31, 23, 59, 0, tzinfo=UTC)


def made(sequence: int, *, seconds_apart: float = 20.0) -> StoredEvent:
    tenant = ("acme", "globex")[sequence % 3 == 0]
    event = Event(
        id=EventId(uuid.UUID(int=sequence)),
        stream=StreamId(tenant, "Thing", "default", f"thing-{sequence % 5}"),
        phase=Phase.FACT,
        type="thing.changed",
        actor="user:alice",
        time=START,
        correlation_id=uuid.UUID(int=10_000 + sequence % 7),
        causation_id=None,
        data={"n": sequence, "text": "zeilen\nund ümläute " + "x" * (sequence % 40)},
    )
    at = START + timedelta(seconds=seconds_apart * sequence)
    return StoredEvent(event=event, sequence=sequence, stream_version=sequence, recorded_at=at)


def history(count: int, *, seconds_apart: float = 20.0) -> tuple[StoredEvent, ...]:
    return tuple(made(sequence, seconds_apart=seconds_apart) for sequence in range(1, count + 1))
