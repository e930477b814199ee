"""The envelope that every wish travels in. Pure."""

import uuid
from datetime import datetime

import msgspec

from agentplane.events.codec import data_of
from agentplane.events.model import Event, Phase, StreamId
from agentplane.ids import EventId


def intent(
    intent_id: uuid.UUID, stream: StreamId, type_: str, wish: msgspec.Struct, *, actor: str, now: datetime
) -> Event:
    """An intent about a stream; its id is the idempotency key, and what follows from it correlates with it."""
    return Event(
        id=EventId(intent_id),
        stream=stream,
        phase=Phase.INTENT,
        type=type_,
        actor=actor,
        time=now,
        correlation_id=intent_id,
        data=data_of(wish),
    )
