"""Messages: unread, read or archived; summed up by recipient they are the mailboxes. Pure.

A message that was read is never unread again, and an archived one stays so: the furthest word counts, and of each kind
of event the first.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from agentplane.domains.work.facts import mail
from agentplane.domains.work.projections.folding import field, projection
from agentplane.domains.work.projections.stamps import Stamped, aware, earlier, set_newest
from agentplane.events.model import StoredEvent

KIND: Final = "Message"


class MessageState(StrEnum):
    """Where in a mailbox a message is."""

    UNREAD = "unread"
    READ = "read"
    ARCHIVED = "archived"


class Message(Stamped, frozen=True, kw_only=True):
    """One message. `recipient` None: only its reading is known, and not whose."""

    recipient: str | None = None
    sender: str | None = None
    subject: str = ""
    body: str = ""
    message_type: str | None = None
    priority: str = "normal"
    work_order_id: str | None = None
    state: MessageState = MessageState.UNREAD
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    archived_at: datetime | None = None


def _sent(view: Message, stored: StoredEvent, said: mail.Sent) -> Message:
    known = set_newest(
        view,
        stored,
        sender=said.sender or stored.event.actor,
        subject=said.subject,
        body=said.body,
        message_type=said.message_type,
        priority=said.priority,
        work_order_id=said.work_order_id,
    )
    return _recipient(replace(known, sent_at=earlier(view.sent_at, stored.event.time)), stored, 9, said.to)


def _delivered(view: Message, stored: StoredEvent, said: mail.Delivered) -> Message:
    known = replace(view, delivered_at=earlier(view.delivered_at, stored.event.time))
    return _recipient(known, stored, 8, said.recipient)


def _read(view: Message, stored: StoredEvent, said: mail.Read) -> Message:
    known = replace(view, read_at=earlier(view.read_at, aware(said.read_at) or stored.event.time))
    return _recipient(_in_state(known), stored, 7, said.reader or stored.event.actor)


def _archived(view: Message, stored: StoredEvent, said: mail.Archived) -> Message:
    known = replace(view, archived_at=earlier(view.archived_at, stored.event.time))
    return _recipient(_in_state(known), stored, 6, said.agent or stored.event.actor)


def _in_state(view: Message) -> Message:
    if view.archived_at is not None:
        return replace(view, state=MessageState.ARCHIVED)
    return replace(view, state=MessageState.READ if view.read_at is not None else MessageState.UNREAD)


def _recipient(view: Message, stored: StoredEvent, weight: int, who: str | None) -> Message:
    """Whom it is for: the sender knows best, then who delivered it, then who read it, then who put it aside."""
    if who is None:
        return view
    mark = f"{weight} {stored.event.id}"
    if view.stamps.get("recipient", "") >= mark:
        return view
    return replace(view, recipient=who, stamps={**view.stamps, "recipient": mark})


MESSAGES: Final = projection(
    "work_messages",
    2,
    Message,
    KIND,
    field("message_id"),
    {"mail.sent": _sent, "mail.delivered": _delivered, "mail.read": _read, "mail.archived": _archived},
)
