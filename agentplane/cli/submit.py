"""Handing an intent to the bus and listening to what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from agentplane.bus import subjects
from agentplane.errors import Transient
from agentplane.events import cloudevents
from agentplane.events.model import Event, StoredEvent

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

ANSWER_WITHIN_S = 30.0


async def publish(bus: "NatsBus", intent: Event) -> None:
    """Hand the intent to the bus; its id makes repeating this harmless. Raises Transient, Refused."""
    subject = subjects.event_subject(intent.stream.tenant, intent.phase, intent.stream.kind, intent.type)
    await bus.publish(subject, cloudevents.encode(intent), message_id=str(intent.id))


async def facts_of(bus: "NatsBus", tenant: str, run: str) -> AsyncIterator[StoredEvent]:
    """Every fact about a run from now on, as it is relayed. NATS may lose some; ask the read model as well."""
    async for _, body in bus.subscribe(f"agentplane.{tenant}.fact.Run.>"):
        stored = cloudevents.decode_stored(body)
        if stored.event.stream.name == run:
            yield stored


async def first_answer(facts: AsyncIterator[StoredEvent]) -> StoredEvent:
    """The first fact about a run. Raises Transient (`control.silent`) when none comes."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await anext(facts)
    except TimeoutError:
        raise Transient(
            "control has not answered; the intent is queued and will be handled when it does",
            code="control.silent",
            hint="agentplane stack status",
        ) from None
