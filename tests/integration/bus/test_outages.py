"""What a real server does to a connection, and what the connection makes of it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agentplane.bus.nats import NatsBus
from agentplane.bus.streams import STREAMS
from agentplane.bus.subjects import EVENTS, INTENTS
from agentplane.errors import AgentplaneError, Denied, Transient
from tests.nats_server import NatsServer, bus, free_port, nats_server  # noqa: F401 - fixtures

INTENT = "agentplane.acme.intent.Run.run.requested"
FACT = "agentplane.acme.fact.Run.run.placed"


@pytest.fixture
async def alice(nats_server: NatsServer, bus: NatsBus) -> AsyncIterator[NatsBus]:  # noqa: F811
    connected = await nats_server.connect("alice")
    yield connected
    await connected.close()


async def eventually(call: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(25):
        while True:
            try:
                return await call()
            except Transient:
                await asyncio.sleep(0.02)


async def until_refused(bus: NatsBus) -> None:  # noqa: F811
    async with asyncio.timeout(20):
        for number in range(100_000):
            await bus.publish(INTENT, b"x" * 500, message_id=str(number))


async def test_no_server_is_said_with_its_address() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(Transient) as caught:
        await NatsBus.connect([url], nkey_seed_file=None, name="nobody", timeout_s=0.5)
    assert caught.value.code == "bus.unreachable"
    assert caught.value.where == url


async def test_a_question_under_way_fails_when_the_server_dies(nats_server: NatsServer, bus: NatsBus) -> None:  # noqa: F811
    asked = asyncio.Event()

    async def never(_: str, __: bytes) -> bytes:
        asked.set()
        await asyncio.get_running_loop().create_future()
        return b""

    await bus.respond("agentplane-query.*.*", never)
    question = asyncio.ensure_future(bus.request("agentplane-query.acme.x", b"", timeout_s=600))
    await asked.wait()
    nats_server.restart()
    with pytest.raises(Transient) as caught:
        await question
    assert caught.value.code == "bus.unreachable"


async def test_what_was_not_acknowledged_comes_again_after_a_crash(nats_server: NatsServer, bus: NatsBus) -> None:  # noqa: F811
    for number in range(5):
        await bus.publish(INTENT, b"%d" % number, message_id=str(number))
    messages = bus.consume(INTENTS, "control", subject="agentplane.*.intent.>")
    first = await anext(messages)
    await first.ack()
    nats_server.restart()
    seen = {first.data}
    async with asyncio.timeout(60):
        while len(seen) < 5:
            message = await anext(messages)
            seen.add(message.data)
            await message.ack()
    assert seen == {b"0", b"1", b"2", b"3", b"4"}


async def test_responders_and_subscribers_are_back_after_a_crash(nats_server: NatsServer, bus: NatsBus) -> None:  # noqa: F811
    async def echo(_: str, data: bytes) -> bytes:
        return data

    await bus.respond("agentplane-query.*.*", echo)
    heard = bus.subscribe("agentplane.acme.fact.>")
    nats_server.restart()
    assert await eventually(lambda: bus.request("agentplane-query.acme.x", b"again", timeout_s=5)) == b"again"
    await eventually(lambda: bus.publish(FACT, b"fact", message_id="1"))
    async with asyncio.timeout(10):
        assert await anext(heard) == (FACT, b"fact")


async def test_a_revoked_key_is_refused_and_works_again_when_it_is_granted(
    nats_server: NatsServer,  # noqa: F811
    bus: NatsBus,  # noqa: F811
    alice: NatsBus,
) -> None:
    heard = alice.subscribe("agentplane.acme.fact.>")
    first = asyncio.ensure_future(anext(heard))
    await eventually(lambda: alice.publish(INTENT, b"", message_id="before"))
    reconnected = asyncio.Event()
    alice.on_reconnect(reconnected.set)
    nats_server.reload(without="alice")
    with pytest.raises(AgentplaneError):
        await until_refused(alice)
    nats_server.reload()
    async with asyncio.timeout(25):
        await reconnected.wait()
    await eventually(lambda: alice.publish(INTENT, b"", message_id="after"))
    await bus.publish(FACT, b"fact", message_id="1")
    async with asyncio.timeout(10):
        assert await first == (FACT, b"fact")


async def test_a_full_work_queue_refuses_the_publisher_and_forgets_nothing(
    nats_server: NatsServer,  # noqa: F811
    bus: NatsBus,  # noqa: F811
) -> None:
    await bus._link.api(f"STREAM.UPDATE.{INTENTS}", STREAMS[INTENTS].config() | {"max_bytes": 4000})
    with pytest.raises(Transient) as caught:
        await until_refused(bus)
    assert caught.value.code == "bus.full"
    assert caught.value.hint
    messages = bus.consume(INTENTS, "control", subject="agentplane.*.intent.>")
    first = await anext(messages)
    assert first.headers["Nats-Msg-Id"] == "0"
    await messages.aclose()  # type: ignore[attr-defined]


async def test_a_tenant_that_filled_the_queue_holds_others_up_until_control_has_stored_it(
    nats_server: NatsServer,  # noqa: F811
    bus: NatsBus,  # noqa: F811
    alice: NatsBus,
) -> None:
    other = "agentplane.rival.intent.Run.run.requested"
    await bus._link.api(f"STREAM.UPDATE.{INTENTS}", STREAMS[INTENTS].config() | {"max_bytes": 4000})
    with pytest.raises(Transient):
        await until_refused(alice)
    with pytest.raises(Transient) as caught:
        await bus.publish(other, b"x" * 500, message_id="other")
    assert caught.value.code == "bus.full"
    messages = bus.consume(INTENTS, "control", subject="agentplane.*.intent.>")
    async with asyncio.timeout(20):
        await (await anext(messages)).ack()
        await eventually(lambda: bus.publish(other, b"x" * 500, message_id="other"))
    await messages.aclose()  # type: ignore[attr-defined]


async def test_a_crash_makes_no_noise_at_error_level(
    nats_server: NatsServer,  # noqa: F811
    bus: NatsBus,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        nats_server.restart()
        await eventually(lambda: bus.stream_identity(EVENTS))
    assert caplog.records == []


async def test_a_message_that_may_not_be_published_is_denied_not_lost(alice: NatsBus) -> None:
    with pytest.raises(Denied):
        await alice.publish(FACT, b"forged", message_id="1")
