"""Handing an intent to the bus and listening to what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agentplane.bus import subjects
from agentplane.errors import Transient
from agentplane.events import cloudevents
from agentplane.events.model import Event, StoredEvent
from agentplane.events.origin import is_imported
from agentplane.runs.intents import INTENT_REJECTED

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

ANSWER_WITHIN_S = 30.0


async def publish(bus: "NatsBus", intent: Event, body: bytes | None = None) -> None:
    """Hand the intent to the bus; its id makes repeating this harmless. `body`: its bytes, where they are there.

    Raises:
        Transient, Refused.
    """
    subject = subjects.event_subject(intent.stream.tenant, intent.phase, intent.stream.kind, intent.type)
    await bus.publish(subject, body or cloudevents.encode(intent), message_id=str(intent.id))


def facts_of(bus: "NatsBus", intent: Event) -> AsyncIterator[StoredEvent]:
    """Every fact about an intent's run from this call on, as it is relayed, and that the intent was not taken at all.

    Call it before `publish`: control may be faster than whoever listens afterwards. NATS may lose some; ask the read
    model as well.
    """
    return _facts_of(bus.subscribe(f"agentplane.{intent.stream.tenant}.fact.>"), intent)


async def _facts_of(heard: AsyncIterator[tuple[str, bytes]], intent: Event) -> AsyncIterator[StoredEvent]:
    async for _, body in heard:
        stored = cloudevents.decode_stored(body)
        event = stored.event
        if is_imported(event.stream):  # history of another control plane speaks of its own intents
            continue
        rejected = event.type == INTENT_REJECTED and event.data.get("intentId") == str(intent.id)
        if event.stream == intent.stream or rejected:
            yield stored


async def first_answer(facts: AsyncIterator[StoredEvent], name: str) -> StoredEvent:
    """The first fact about run `name`. Raises Transient (`control.silent`) when none comes."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await anext(facts)
    except TimeoutError:
        raise Transient(
            "control has not answered; the intent is queued and will be handled when it does",
            code="control.silent",
            where=name,
            hint=f"`agentplane stack status` shows what is down; afterwards: agentplane get runs {name}",
        ) from None
