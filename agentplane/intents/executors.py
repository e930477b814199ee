"""Wishes about executors: what an operator asks for, and how it is recognised. Pure.

They travel on the platform's tenant (`agentplane.system.intent.Executor.<type>`), where NATS lets only operators speak.
"""

import uuid
from datetime import datetime
from typing import Final

import msgspec

from agentplane.bus.subjects import event_subject
from agentplane.errors import Refused
from agentplane.events.cloudevents import decode
from agentplane.events.model import Event, Phase
from agentplane.intents.asking import intent
from agentplane.runs.executors import KIND, SYSTEM_TENANT, executor_stream

SUBJECTS: Final = f"agentplane.{SYSTEM_TENANT}.intent.{KIND}."
_NOT_PEOPLE: Final = ("controller:", "executor:", "system:")


def wish(intent_id: uuid.UUID, *, executor: str, type_: str, actor: str, now: datetime, said: msgspec.Struct) -> Event:
    """An intent about an executor; `said` is one of the wishes in agentplane.enrolment.facts."""
    return intent(intent_id, executor_stream(executor), type_, said, actor=actor, now=now)


def is_wish(subject: str) -> bool:
    """Whether a message is about an executor, by its subject."""
    return subject.startswith(SUBJECTS)


def open_wish(subject: str, data: bytes) -> Event:
    """The wish in a message.

    Raises:
        Refused: codes as `cloudevents.decode`, and `intent.phase`, `intent.subject`, `intent.actor`.
    """
    event = decode(data)
    if event.phase is not Phase.INTENT:
        raise Refused("an event that is no intent came as one", code="intent.phase")
    if subject != event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type):
        raise Refused("the subject names another tenant, kind or type than the envelope", code="intent.subject")
    if event.actor.startswith(_NOT_PEOPLE):
        raise Refused("a part of the control plane has no intents", code="intent.actor")
    return event
