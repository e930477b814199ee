"""Handing an intent in: what control answers before anybody has begun to read is heard all the same."""

import asyncio
import uuid
from datetime import UTC, datetime

from agentplane.bus.memory import MemoryBus
from agentplane.cli.submit import facts_of, first_answer
from agentplane.events import cloudevents
from agentplane.events.model import Event, Phase, StoredEvent
from agentplane.ids import EventId
from agentplane.intents.runs import request_cancel

NOW = datetime(2026, 11, 21, tzinfo=UTC)


async def test_an_answer_that_comes_before_anybody_reads_is_not_missed() -> None:
    bus = MemoryBus()
    intent = request_cancel(uuid.UUID(int=1), tenant="acme", run="noop-1", actor="user:a", now=NOW, reason="")
    facts = facts_of(bus, intent)  # type: ignore[arg-type]  # all that it needs of a bus
    answer = Event(
        id=EventId(uuid.UUID(int=2)),
        stream=intent.stream,
        phase=Phase.FACT,
        type="run.superseded",
        actor="control",
        correlation_id=intent.correlation_id,
        causation_id=intent.id,
        time=NOW,
        data={"reason": "", "by": "user:a"},
    )
    stored = StoredEvent(event=answer, sequence=1, recorded_at=NOW, stream_version=1)
    await bus.emit("agentplane.acme.fact.Run.run.superseded", cloudevents.encode(stored))
    async with asyncio.timeout(10):
        assert (await first_answer(facts, "noop-1")).event == answer
    await bus.close()
