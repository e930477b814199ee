"""Intents about dead letters. The intent's id is the idempotency key. Pure."""

import uuid
from datetime import datetime

from agentplane.domains.deadletters import RETRY_REQUESTED, RetryRequested
from agentplane.domains.resource import DEAD_LETTER_KIND
from agentplane.events.codec import data_of
from agentplane.events.model import Event, Phase, StreamId
from agentplane.ids import EventId


def request_retry(
    intent_id: uuid.UUID, *, tenant: str, letter: str, actor: str, now: datetime, reason: str = ""
) -> Event:
    """The intent `controller.retry-requested`: show a dead letter's event to its controller again."""
    return Event(
        id=EventId(intent_id),
        stream=StreamId(tenant, DEAD_LETTER_KIND, "default", letter),
        phase=Phase.INTENT,
        type=RETRY_REQUESTED,
        actor=actor,
        time=now,
        correlation_id=intent_id,
        data=data_of(RetryRequested(reason=reason)),
    )
