"""nats-server on a disk that is really full: publishers hear it, the log keeps everything, and it catches up."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentplane.bus.monitor import write_error
from agentplane.bus.nats import NatsBus
from agentplane.bus.subjects import EVENTS
from agentplane.doctor import services
from agentplane.doctor.check import Status
from agentplane.errors import NotFound, Transient
from agentplane.events.cloudevents import decode_stored
from agentplane.store.outbox import OutboxCursor
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.relay import Relay
from agentplane.store.roles import APPEND
from tests.contract.test_event_store import append, event, stream
from tests.nats_server import NatsServer
from tests.postgres import Database
from tests.smalldisk import SmallDisk, small_disk


@pytest.fixture
def full(tmp_path: Path) -> Iterator[tuple[NatsServer, SmallDisk]]:
    directory = tmp_path / "nats"
    directory.mkdir()
    with small_disk(directory / "js", 48) as disk:
        server = NatsServer(directory, monitored=True)
        server.start()
        try:
            yield server, disk
        finally:
            server.kill()


@pytest.fixture
async def kept(database: Database) -> AsyncIterator[PostgresEventStore]:
    async with await PostgresEventStore.open(database.conninfo(APPEND), poll_s=0.1) as store:
        yield store


@asynccontextmanager
async def relaying(server: NatsServer, database: Database, store: PostgresEventStore) -> AsyncIterator[Relay]:
    """Control's own: its key, its streams, its place in the log."""
    bus = await server.connect("control")
    await bus.ensure_streams()
    cursor = OutboxCursor(database.conninfo(APPEND), "nats")
    yield Relay(store, cursor, bus, batch=50)
    await cursor.close()
    await bus.close()


async def sequences(bus: NatsBus, count: int) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(60):
        async for message in bus.follow(EVENTS, "agentplane.acme.>"):
            found.append(decode_stored(message.data).sequence)
            if len(set(found)) == count:
                break
    return found


async def caught_up(relay: Relay) -> None:
    """Once the bus is back; the connection may not have noticed yet."""
    async with asyncio.timeout(60):
        while True:
            try:
                await relay.catch_up()
            except (Transient, NotFound) as exc:
                await asyncio.sleep(exc.delay_s / 10 if isinstance(exc, Transient) else 0.1)
            else:
                return


async def test_a_full_store_refuses_loses_nothing_and_catches_up(
    full: tuple[NatsServer, SmallDisk], database: Database, kept: PostgresEventStore
) -> None:
    server, disk = full
    async with relaying(server, database, kept) as relay:
        await kept.append(*(append(event(stream(f"s{n}"))) for n in range(20)))
        assert await relay.catch_up() == 20
        disk.fill()
        await kept.append(*(append(event(stream(f"t{n}"))) for n in range(200)))  # the log does not need the bus
        with pytest.raises(Transient) as caught:
            await relay.catch_up()
        assert caught.value.code in {"bus.timeout", "bus.full", "bus.refused"}
        assert "full" in str(caught.value.hint)
        assert relay.position < await kept.head() == 220
        disk.free()
        await asyncio.to_thread(server.restart)  # nats-server 2.15 does not write again by itself
        await caught_up(relay)
        assert relay.position == 220
    bus = await server.connect()
    assert sorted(set(await sequences(bus, 220))) == list(range(1, 221))
    await bus.close()


async def stored(bus: NatsBus, subject: str, message_id: str) -> None:
    """Once it is; as a person would who tries again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await bus.publish(subject, bytes(2048), message_id=message_id)
            except Transient as exc:
                await asyncio.sleep(exc.delay_s / 10)
            else:
                return


async def test_a_person_whose_wish_was_not_stored_hears_it(full: tuple[NatsServer, SmallDisk]) -> None:
    """And may send it again under the same id, once there is room."""
    server, disk = full
    control, alice = await server.connect("control"), await server.connect("alice")
    await control.ensure_streams()
    subject = "agentplane.acme.intent.Run.run.requested"
    disk.fill()
    with pytest.raises(Transient) as caught:  # noqa: PT012 - which one, depends on the last page
        for number in range(1000):  # what the last page still takes is stored
            await alice.publish(subject, bytes(2048), message_id=f"wish-{number}")
    assert caught.value.exit_status == 6
    assert "nothing is lost" in str(caught.value.hint)
    disk.free()
    (said,) = (check for check in services.nats(server.monitor_url) if check.id == "nats.writes")
    assert (said.status, said.fix) == (Status.FAIL, "agentplane stack up")
    assert "no space left on device" in said.cause
    await asyncio.to_thread(server.restart)
    assert write_error(server.monitor_url) is None
    await stored(alice, subject, f"wish-{number}")
    await control.close()
    await alice.close()
