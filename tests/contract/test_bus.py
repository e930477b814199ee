"""One suite for every Bus: in memory, and over a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.bus.nats import NatsBus
from agentplane.bus.subjects import EVENTS, INTENTS, LOGS
from agentplane.errors import Refused, Transient
from agentplane.ports import Message
from tests.nats_server import NatsServer, nats_server  # noqa: F401 - a fixture

INTENT = "agentplane.acme.intent.Run.run.requested"
FACT = "agentplane.acme.fact.Run.run.placed"
INTENTS_ALL = "agentplane.*.intent.>"

AnyBus = MemoryBus | NatsBus


class Bench:
    """A bus and what can happen to the server behind it."""

    def __init__(self, bus: AnyBus, wipe: Callable[[], None]) -> None:
        self.bus = bus
        self.wipe = wipe


@pytest.fixture(params=["memory", "nats"])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    if request.param == "memory":
        memory = MemoryBus()
        yield Bench(memory, memory.wipe)
        await memory.close()
        return
    server: NatsServer = request.getfixturevalue("nats_server")
    server.wipe()
    bus = await server.connect()
    await bus.ensure_streams()
    yield Bench(bus, server.wipe)
    await bus.close()


@pytest.fixture
def bus(bench: Bench) -> AnyBus:
    return bench.bus


async def until_up(call: Callable[[], Awaitable[Any]]) -> Any:
    """What any caller does with Transient: the same call again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await call()
            except Transient:
                await asyncio.sleep(0.02)


async def take(messages: AsyncIterator[Message], count: int) -> list[Message]:
    async with asyncio.timeout(30):
        return [await anext(messages) for _ in range(count)]


def intents(bus: AnyBus) -> AsyncIterator[Message]:
    return bus.consume(INTENTS, "control", subject=INTENTS_ALL)


async def test_a_published_intent_reaches_the_consumer_with_its_id(bus: AnyBus) -> None:
    await bus.publish(INTENT, b"body", message_id="one")
    (message,) = await take(intents(bus), 1)
    assert (message.subject, message.data, message.deliveries) == (INTENT, b"body", 1)
    assert message.headers["Nats-Msg-Id"] == "one"


async def test_an_acknowledged_message_never_comes_again(bus: AnyBus) -> None:
    messages = intents(bus)
    await bus.publish(INTENT, b"first", message_id="1")
    (first,) = await take(messages, 1)
    await first.ack()
    await bus.publish(INTENT, b"second", message_id="2")
    (second,) = await take(messages, 1)
    assert (second.data, second.deliveries) == (b"second", 1)


async def test_a_repeated_message_id_is_one_message(bus: AnyBus) -> None:
    for _ in range(3):
        await bus.publish(INTENT, b"once", message_id="same")
    await bus.publish(INTENT, b"last", message_id="other")
    assert [each.data for each in await take(intents(bus), 2)] == [b"once", b"last"]


async def test_a_refused_message_comes_again_and_counts(bus: AnyBus) -> None:
    messages = intents(bus)
    await bus.publish(INTENT, b"x", message_id="1")
    (first,) = await take(messages, 1)
    await first.nak(0.01)
    (again,) = await take(messages, 1)
    assert (again.data, again.deliveries) == (b"x", 2)


async def test_poison_never_comes_again(bus: AnyBus) -> None:
    messages = intents(bus)
    await bus.publish(INTENT, b"poison", message_id="1")
    (poison,) = await take(messages, 1)
    await poison.term("undecodable\r\nPUB evil 0")
    await bus.publish(INTENT, b"food", message_id="2")
    assert [each.data for each in await take(messages, 1)] == [b"food"]


async def test_a_batch_arrives_whole_and_in_order_although_part_of_it_was_there(bus: AnyBus) -> None:
    batch = [(f"{FACT}-{number}", b"%d" % number, f"id-{number}") for number in range(250)]
    await bus.publish_batch(batch[100:150])
    await bus.publish_batch(batch)
    await bus.publish_batch(batch)
    await bus.publish(FACT, b"end", message_id="end")
    got = [each.data for each in await take(bus.follow(EVENTS, "agentplane.acme.fact.>"), 251)]
    assert got[:50] == [b"%d" % number for number in range(100, 150)]
    assert got[50:] == [b"%d" % number for number in (*range(100), *range(150, 250))] + [b"end"]


async def test_a_consumer_gets_only_its_subjects(bus: AnyBus) -> None:
    await bus.publish("agentplane-executor.exec-1.report", b"report", message_id="1")
    await bus.publish(INTENT, b"intent", message_id="2")
    reports = bus.consume(INTENTS, "reports", subject="agentplane-executor.*.report")
    assert [each.data for each in await take(reports, 1)] == [b"report"]
    assert [each.data for each in await take(intents(bus), 1)] == [b"intent"]


async def test_a_subject_that_nothing_keeps_is_an_error(bus: AnyBus) -> None:
    with pytest.raises(Transient) as caught:
        await bus.publish("nowhere.at.all", b"", message_id="1")
    assert caught.value.code == "bus.no-responder"


async def test_a_message_beyond_the_limit_is_refused_by_name(bus: AnyBus) -> None:
    with pytest.raises(Refused) as caught:
        await bus.publish(INTENT, b"x" * (3 * 1024 * 1024), message_id="1")
    assert caught.value.code == "bus.too-large"


async def test_a_question_is_answered_on_a_wildcard(bus: AnyBus) -> None:
    async def answer(subject: str, data: bytes) -> bytes:
        return subject.encode() + b" " + data

    await bus.respond("agentplane-query.*.*", answer, queue="queries")
    got = await bus.request("agentplane-query.acme.runs-list", b"{}", timeout_s=5)
    assert got == b"agentplane-query.acme.runs-list {}"


async def test_many_questions_are_answered_at_once_each_with_its_own_answer(bus: AnyBus) -> None:
    async def answer(_: str, data: bytes) -> bytes:
        await asyncio.sleep(0)
        return data

    await bus.respond("agentplane-query.*.*", answer)
    asked = [bus.request("agentplane-query.acme.echo", b"%d" % number, timeout_s=10) for number in range(300)]
    assert await asyncio.gather(*asked) == [b"%d" % number for number in range(300)]


async def test_nobody_there_to_answer_is_said_at_once(bus: AnyBus) -> None:
    with pytest.raises(Transient) as caught:
        await bus.request("agentplane-query.acme.runs-list", b"", timeout_s=60)
    assert caught.value.code == "bus.no-responder"


async def test_an_answer_that_never_comes_times_out(bus: AnyBus) -> None:
    async def answer(_: str, __: bytes) -> bytes:
        raise Refused("not today")

    await bus.respond("agentplane-query.*.*", answer)
    with pytest.raises(Transient) as caught:
        await bus.request("agentplane-query.acme.runs-list", b"", timeout_s=0.05)
    assert caught.value.code == "bus.timeout"


async def test_a_follower_sees_what_was_stored_and_then_what_comes(bus: AnyBus) -> None:
    for number in range(3):
        await bus.publish(FACT, b"%d" % number, message_id=str(number))
    follower = bus.follow(EVENTS, "agentplane.acme.>", start_sequence=2)
    assert [each.data for each in await take(follower, 2)] == [b"1", b"2"]
    await bus.publish("agentplane.other.fact.Run.x", b"not mine", message_id="other")
    await bus.publish(FACT, b"3", message_id="3")
    assert [each.data for each in await take(follower, 1)] == [b"3"]


async def test_a_subscriber_sees_hints_and_facts(bus: AnyBus) -> None:
    heard = bus.subscribe("agentplane.acme.fact.>")
    first = asyncio.ensure_future(anext(heard))
    while not first.done():
        await bus.emit(FACT, b"hint")
        await asyncio.sleep(0.01)
    assert await first == (FACT, b"hint")
    await bus.publish(FACT, b"fact", message_id="1")
    async with asyncio.timeout(10):
        while (await anext(heard))[1] != b"fact":
            pass


async def test_console_output_is_kept_for_latecomers(bus: AnyBus) -> None:
    for run in ("a", "b", "a"):
        await bus.emit(f"agentplane-executor.exec-1.log.default.{run}.console", run.encode())
    subject = "agentplane-executor.exec-1.log.default.a.console"
    first = await until_up(lambda: _some(bus, subject, 0))
    second = await until_up(lambda: _some(bus, subject, first[0]))
    assert (first[1], second[1]) == (b"a", b"a")
    assert await bus.stored(LOGS, subject, second[0]) is None


async def _some(bus: AnyBus, subject: str, after: int) -> tuple[int, bytes]:
    found = await bus.stored(LOGS, subject, after)
    if found is None:
        raise Transient("not there yet")
    return found


async def test_a_wiped_server_is_a_stream_with_another_identity(bench: Bench) -> None:
    before = await bench.bus.stream_identity(EVENTS)
    assert await bench.bus.stream_identity(EVENTS) == before
    bench.wipe()
    await until_up(bench.bus.ensure_streams)
    assert await until_up(lambda: bench.bus.stream_identity(EVENTS)) != before


async def test_a_consumer_and_its_publisher_survive_a_wiped_server(bench: Bench) -> None:
    messages = intents(bench.bus)
    await bench.bus.publish(INTENT, b"before", message_id="1")
    (before,) = await take(messages, 1)
    await before.ack()
    reconnected = asyncio.Event()
    bench.bus.on_reconnect(reconnected.set)
    bench.wipe()
    async with asyncio.timeout(20):
        await reconnected.wait()
    await until_up(lambda: bench.bus.publish(INTENT, b"after", message_id="1"))
    assert [each.data for each in await take(messages, 1)] == [b"after"]


async def test_a_follower_begins_again_after_a_wiped_server(bench: Bench) -> None:
    follower = bench.bus.follow(EVENTS, "agentplane.acme.>")
    for number in range(5):
        await bench.bus.publish(FACT, b"%d" % number, message_id=str(number))
    await take(follower, 5)
    bench.wipe()
    await until_up(bench.bus.ensure_streams)
    await until_up(lambda: bench.bus.publish(FACT, b"0", message_id="0"))
    assert [each.data for each in await take(follower, 1)] == [b"0"]


async def test_close_ends_every_reader(bus: AnyBus) -> None:
    async def drain(source: AsyncIterator[Any]) -> int:
        return len([each async for each in source])

    readers = [
        asyncio.ensure_future(drain(source))
        for source in (intents(bus), bus.follow(EVENTS, "agentplane.>"), bus.subscribe("agentplane.>"))
    ]
    await bus.publish(FACT, b"", message_id="1")
    await bus.close()
    async with asyncio.timeout(10):
        await asyncio.gather(*readers)
    with pytest.raises(Transient):
        await bus.publish(FACT, b"", message_id="2")
