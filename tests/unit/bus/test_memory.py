"""The switches of the bus in memory: it can be as bad as NATS on its worst day."""

import asyncio
import random

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.bus.subjects import INTENTS
from agentplane.errors import Transient
from agentplane.ports import Message

INTENT = "agentplane.acme.intent.Run.run.requested"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


async def publish(bus: MemoryBus, count: int) -> None:
    for number in range(count):
        await bus.publish(INTENT, b"%d" % number, message_id=str(number))


async def received(bus: MemoryBus, count: int, *, ack: bool = True) -> list[Message]:
    messages = bus.consume(INTENTS, "control", subject="agentplane.*.intent.>")
    got = []
    async with asyncio.timeout(5):
        for _ in range(count):
            message = await anext(messages)
            got.append(message)
            if ack:
                await message.ack()
    return got


async def test_a_lost_message_was_acknowledged_and_is_gone(bus: MemoryBus) -> None:
    bus.faults.lose_next = 2
    await publish(bus, 3)
    assert [each.data for each in await received(bus, 1)] == [b"2"]


async def test_a_duplicated_message_comes_twice(bus: MemoryBus) -> None:
    bus.faults.duplicate = True
    await publish(bus, 1)
    assert [(each.data, each.deliveries) for each in await received(bus, 2, ack=False)] == [(b"0", 1), (b"0", 2)]


async def test_reordered_messages_all_come(bus: MemoryBus) -> None:
    bus.faults.reorder = random.Random(3)  # noqa: S311 - a repeatable order, not a secret
    await publish(bus, 20)
    got = [int(each.data) for each in await received(bus, 20)]
    assert got != sorted(got)
    assert sorted(got) == list(range(20))


async def test_an_outage_refuses_everybody_and_ends(bus: MemoryBus) -> None:
    bus.faults.down = True
    with pytest.raises(Transient):
        await publish(bus, 1)
    with pytest.raises(Transient):
        await bus.request("agentplane-query.acme.x", b"", timeout_s=1)
    waiting = asyncio.ensure_future(received(bus, 1))
    bus.faults.down = False
    await publish(bus, 1)
    assert [each.data for each in await waiting] == [b"0"]


async def test_an_acknowledgement_during_an_outage_is_lost(bus: MemoryBus) -> None:
    await publish(bus, 1)
    (message,) = await received(bus, 1, ack=False)
    bus.faults.down = True
    await message.ack()
    bus.faults.down = False
    bus.redeliver()
    assert [(each.data, each.deliveries) for each in await received(bus, 1)] == [(b"0", 2)]


async def test_a_dead_consumer_s_messages_go_to_the_next(bus: MemoryBus) -> None:
    await publish(bus, 2)
    messages = bus.consume(INTENTS, "control", subject="agentplane.*.intent.>")
    await anext(messages)
    await messages.aclose()  # type: ignore[attr-defined]
    assert sorted(each.data for each in await received(bus, 2)) == [b"0", b"1"]
