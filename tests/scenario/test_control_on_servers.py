"""The control daemon on a real PostgreSQL and nats-server; executor and person only talk NATS."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.errors import Transient
from agentplane.events import cloudevents
from agentplane.events.model import Event, StoredEvent
from agentplane.intents.runs import request_run, run_stream
from agentplane.runs.protocol import Assignment, HeartbeatReply
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT
from services.control.config import ControlSettings
from tests.nats_server import NatsServer, nats_server
from tests.postgres import Database
from tests.scenario.servers import control_settings, daemon
from tests.scenario.wishes import wish
from tests.scenario.world import RUN_STORY, TENANT, Executor

__all__ = ["nats_server"]


def settings(database: Database, server: NatsServer, where: Path) -> ControlSettings:
    return control_settings(database, server, where, "exec-1")


class Host:
    """An executor that only talks NATS."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.executor = Executor("exec-1")
        self.wakes = bus.subscribe(subjects.wake("exec-1"))

    async def beat(self) -> HeartbeatReply:
        data = msgspec.json.encode(self.executor.heartbeat())
        return msgspec.json.decode(
            await self.bus.request(subjects.heartbeat("exec-1"), data, timeout_s=5), type=HeartbeatReply
        )

    async def first_beat(self) -> HeartbeatReply:
        """Until control answers."""
        while True:
            try:
                return await self.beat()
            except Transient:
                await asyncio.sleep(0.02)

    async def report(self, data: bytes) -> None:
        await self.bus.publish(subjects.report("exec-1"), data, message_id=str(uuid.uuid4()))

    async def told(self, name: str) -> Assignment:
        """The assignment, as soon as control wakes us for it."""
        async for _ in self.wakes:
            for assignment in (await self.beat()).assignments:
                if assignment.run == name:
                    return assignment
        raise AssertionError


def intent(document_number: int = 1) -> Event:
    return request_run(
        uuid.uuid5(uuid.NAMESPACE_URL, str(document_number)),
        tenant=TENANT,
        bundle_name="noop",
        actor="user:alice",
        now=datetime.now(UTC),
        wish=wish(),
    )


async def publish(bus: NatsBus, event: Event, message_id: str | None = None) -> None:
    subject = subjects.event_subject(TENANT, event.phase, "Run", event.type)
    await bus.publish(subject, cloudevents.encode(event), message_id=message_id or str(event.id))


async def until(facts: AsyncIterator[tuple[str, bytes]], name: str, type_: str) -> StoredEvent:
    async for _, body in facts:
        stored = cloudevents.decode_stored(body)
        if (stored.event.stream.name, stored.event.type) == (name, type_):
            return stored
    raise AssertionError


@pytest.fixture
async def alice(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = await NatsBus.connect([nats_server.url], nkey_seed_file=nats_server.seed("alice"), name="alice")
    yield bus
    await bus.close()


@pytest.fixture
async def host(nats_server: NatsServer) -> AsyncIterator[Host]:
    bus = await NatsBus.connect([nats_server.url], nkey_seed_file=nats_server.seed("exec-1"), name="exec-1")
    yield Host(bus)
    await bus.close()


@pytest.mark.stack
async def test_a_run_goes_from_the_wire_to_its_end(
    database: Database, nats_server: NatsServer, tmp_path: Path, alice: NatsBus, host: Host
) -> None:
    async with daemon(settings(database, nats_server, tmp_path)):
        facts = alice.subscribe(f"agentplane.{TENANT}.fact.>")
        assert (await host.first_beat()).accepted
        wanted = intent()
        for message_id in ("a", "b"):  # twice: the server does not recognise the second one
            await publish(alice, wanted, message_id)
        told = await asyncio.wait_for(host.told(wanted.stream.name), 20)
        await host.report(host.executor.started(told))
        await host.report(host.executor.finished(told))
        await asyncio.wait_for(until(facts, told.run, "run.finished"), 20)
        assert (await host.beat()).committed_index == 2
    async with await PostgresEventStore.open(database.conninfo(PROJECT)) as store:
        events = await store.read_stream(run_stream(TENANT, told.run))
    assert [stored.event.type for stored in events] == RUN_STORY


@pytest.mark.stack
async def test_servers_that_are_killed_and_wiped_cost_time_only(
    database: Database, nats_server: NatsServer, tmp_path: Path, alice: NatsBus, host: Host
) -> None:
    """PostgreSQL is killed while reports come, then NATS loses its storage; the executor keeps its journal."""
    async with (
        daemon(settings(database, nats_server, tmp_path)),
        await PostgresEventStore.open(database.conninfo(PROJECT)) as store,
    ):
        assert (await host.first_beat()).accepted
        wanted = intent(2)
        await publish(alice, wanted)
        told = await asyncio.wait_for(host.told(wanted.stream.name), 20)
        await asyncio.to_thread(database.cluster.kill)
        await host.report(host.executor.started(told))
        last = host.executor.finished(told)
        await asyncio.to_thread(database.cluster.start)
        await asyncio.wait_for(committed(host, 1), 40)
        await asyncio.to_thread(nats_server.wipe)
        await asyncio.wait_for(redelivered(host, last), 40)
        events = await store.read_stream(run_stream(TENANT, told.run))
    assert [stored.event.type for stored in events].count("run.placed") == 1
    assert events[-1].event.type == "run.finished"


async def committed(host: Host, index: int) -> None:
    """Until control says so, whatever is away meanwhile."""
    while True:
        if (await host.first_beat()).committed_index >= index:
            return
        await asyncio.sleep(0.05)


async def redelivered(host: Host, data: bytes) -> None:
    """Publish until it is committed, as an executor does with what the bus may have lost."""
    while (await host.first_beat()).committed_index < host.executor.head.index:
        with contextlib.suppress(Transient):
            await host.report(data)
        await asyncio.sleep(0.1)


@pytest.mark.stack
async def test_two_daemons_share_the_work(
    database: Database, nats_server: NatsServer, tmp_path: Path, alice: NatsBus, host: Host
) -> None:
    config = settings(database, nats_server, tmp_path)
    async with daemon(config), daemon(config), await PostgresEventStore.open(database.conninfo(PROJECT)) as store:
        assert (await host.first_beat()).accepted
        wanted = [intent(number) for number in range(10, 30)]
        await asyncio.gather(*(publish(alice, each) for each in wanted))
        done: set[str] = set()
        async with asyncio.timeout(60):
            while len(done) < len(wanted):
                for told in (await host.beat()).assignments:
                    if told.run not in done:
                        done.add(told.run)
                        await host.report(host.executor.started(told))
                        await host.report(host.executor.finished(told))
            await committed(host, 2 * len(wanted))
        for each in wanted:
            types = [stored.event.type for stored in await store.read_stream(each.stream)]
            assert types.count("run.placed") == types.count("run.finished") == 1
