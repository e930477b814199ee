"""Facts of the family `mail`. Source: VerMAS SCHEMAS.md and MESSAGING.md."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from agentplane.domains.work.facts.base import Agent, Fact, Id, Line, Text

REWORK_REQUEST = "REWORK_REQUEST"
READY_FOR_QA = "READY_FOR_QA"
MERGED = "MERGED"

MessageId = Annotated[Id, Meta(description="Of the message")]


class Sent(Fact, frozen=True, kw_only=True):
    """A message was dispatched."""

    message_id: MessageId
    sender: Agent | None = msgspec.field(name="from", default=None)
    to: Agent
    subject: Line = ""
    body: Text = ""
    message_type: Annotated[str, Meta(max_length=60, description="WORKER_DONE, READY_FOR_QA, MERGED, …")] | None = None
    priority: Annotated[str, Meta(max_length=60, description="urgent, normal, low, or what its source says")] = "normal"
    work_order_id: Annotated[str, Meta(description="The work order that it is about")] | None = None


class Delivered(Fact, frozen=True, kw_only=True):
    """A message arrived in its inbox."""

    message_id: MessageId
    recipient: Agent | None = None


class Read(Fact, frozen=True, kw_only=True):
    """Its recipient read a message."""

    message_id: MessageId
    reader: Agent | None = None
    read_at: datetime | None = None


class Archived(Fact, frozen=True, kw_only=True):
    """A message was put aside."""

    message_id: MessageId
    agent: Agent | None = None
