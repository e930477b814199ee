"""Intents about dead letters. The intent's id is the idempotency key. Pure."""

import uuid
from datetime import datetime

from agentplane.domains.deadletters import RETRY_REQUESTED, RetryRequested
from agentplane.domains.resource import DEAD_LETTER_KIND
from agentplane.events.model import Event, StreamId
from agentplane.intents.asking import intent


def request_retry(
    intent_id: uuid.UUID, *, tenant: str, letter: str, actor: str, now: datetime, reason: str = ""
) -> Event:
    """The intent `controller.retry-requested`: show a dead letter's event to its controller again."""
    stream = StreamId(tenant, DEAD_LETTER_KIND, "default", letter)
    return intent(intent_id, stream, RETRY_REQUESTED, RetryRequested(reason=reason), actor=actor, now=now)
