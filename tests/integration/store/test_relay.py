"""The relay between a real PostgreSQL and a bus that misbehaves in every way a broker can."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import pytest

from agentplane.errors import NotFound, Refused, Transient
from agentplane.events.cloudevents import decode_stored
from agentplane.events.model import Phase
from agentplane.store.outbox import OutboxCursor, Place
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.relay import Relay
from agentplane.store.roles import APPEND
from tests.contract.test_event_store import append, event, stream
from tests.postgres import Database

Message = tuple[str, bytes, str]


class FakeBroker:
    """Keeps what it acknowledged, until it is wiped."""

    def __init__(self) -> None:
        self.identity = "first"
        self.kept: list[Message] = []
        self.fail_after: int | None = None  # batches it still takes before it goes away
        self.gone = self.lost = False
        self.poison: set[str] = set()
        self.arrived = asyncio.Condition()
        self.missed = asyncio.Event()

    async def publish_batch(self, messages: Sequence[Message]) -> None:
        if self.gone or self.fail_after == 0:
            raise Transient("the broker is away", delay_s=0.01)
        if any(message_id in self.poison for _, _, message_id in messages):
            raise Refused("too large", code="bus.too-large")
        if self.fail_after is not None:
            self.fail_after -= 1
        async with self.arrived:
            self.kept.extend(messages)
            self.arrived.notify_all()

    async def stream_identity(self, stream: str) -> str:
        if self.lost:
            raise NotFound(f"no stream {stream}")
        return self.identity

    async def ensure_streams(self) -> None:
        if self.gone:
            self.missed.set()
            raise Transient("the broker is away", delay_s=0.01)
        self.lost = False

    def wipe(self) -> None:
        self.lost = True
        self.kept.clear()
        self.identity += "'"

    def sequences(self) -> list[int]:
        return [decode_stored(data).sequence for _, data, _ in self.kept]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: len(self.kept) >= count)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    async with await PostgresEventStore.open(database.conninfo(APPEND), poll_s=0.05) as opened:
        yield opened


@pytest.fixture
async def cursor(database: Database) -> AsyncIterator[OutboxCursor]:
    opened = OutboxCursor(database.conninfo(APPEND), "nats")
    yield opened
    await opened.close()


async def fill(store: PostgresEventStore, count: int) -> None:
    await store.append(append(*(event(stream("filled")) for _ in range(count))))


async def test_facts_and_internals_go_out_once_in_order_and_intents_stay(
    store: PostgresEventStore, cursor: OutboxCursor
) -> None:
    broker = FakeBroker()
    phases = [Phase.FACT, Phase.INTENT, Phase.INTERNAL, Phase.FACT]
    await store.append(append(*(event(phase=phase) for phase in phases)))
    relay = Relay(store, cursor, broker, batch=2)
    assert await relay.catch_up() == 3
    assert await relay.catch_up() == 0
    assert broker.sequences() == [1, 3, 4]
    stored = await store.read(0)
    assert broker.kept[1] == ("agentplane.acme.internal.Run.run.placed", broker.kept[1][1], str(stored[2].event.id))
    assert decode_stored(broker.kept[1][1]) == stored[2]


async def test_a_new_relay_goes_on_where_the_last_one_was_acknowledged(
    store: PostgresEventStore, database: Database
) -> None:
    broker = FakeBroker()
    await fill(store, 10)
    broker.fail_after = 2
    first = OutboxCursor(database.conninfo(APPEND), "nats")
    with pytest.raises(Transient):
        await Relay(store, first, broker, batch=3).catch_up()
    await first.close()
    broker.fail_after = None
    second = OutboxCursor(database.conninfo(APPEND), "nats")
    await Relay(store, second, broker, batch=3).catch_up()
    await second.close()
    assert broker.sequences() == list(range(1, 11))


async def test_a_wiped_broker_is_filled_again_from_the_log(store: PostgresEventStore, cursor: OutboxCursor) -> None:
    broker = FakeBroker()
    relay = Relay(store, cursor, broker, batch=4)
    await fill(store, 10)
    await relay.catch_up()
    broker.wipe()
    assert await relay.catch_up() == 10
    assert broker.sequences() == list(range(1, 11))
    broker.wipe()
    await Relay(store, cursor, broker, rewind_events=3).catch_up()
    assert broker.sequences() == [8, 9, 10]


async def test_what_went_to_a_new_stream_before_anybody_looked_goes_there_again_with_the_rest(
    store: PostgresEventStore, cursor: OutboxCursor
) -> None:
    broker = FakeBroker()
    relay = Relay(store, cursor, broker)
    await fill(store, 10)
    await relay.catch_up(look=False)  # nobody ever has: so it is looked at all the same
    broker.wipe()
    await fill(store, 2)
    assert await relay.catch_up(look=False) == 2
    assert broker.sequences() == [11, 12]
    assert await relay.catch_up() == 12
    assert broker.sequences() == [11, 12, *range(1, 13)]


async def test_a_relay_at_work_notices_a_wipe_by_itself(store: PostgresEventStore, cursor: OutboxCursor) -> None:
    broker = FakeBroker()
    working = asyncio.create_task(Relay(store, cursor, broker).run())
    await fill(store, 10)
    await broker.until(10)
    broker.wipe()
    await fill(store, 1)
    await broker.until(11)
    assert sorted(set(broker.sequences())) == list(range(1, 12))
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def test_a_wipe_between_two_batches_is_noticed(store: PostgresEventStore, cursor: OutboxCursor) -> None:
    broker = FakeBroker()
    await fill(store, 10)
    broker.fail_after = 2
    relay = Relay(store, cursor, broker, batch=3)
    with pytest.raises(Transient):
        await relay.catch_up()
    broker.wipe()
    broker.fail_after = None
    await relay.catch_up()
    assert broker.sequences() == list(range(1, 11))


async def test_an_event_the_broker_will_never_take_does_not_stop_the_others(
    store: PostgresEventStore, cursor: OutboxCursor
) -> None:
    broker = FakeBroker()
    await fill(store, 9)
    poison = (await store.read(4, 1))[0]
    broker.poison = {str(poison.event.id)}
    assert await Relay(store, cursor, broker).catch_up() == 8
    assert broker.sequences() == [1, 2, 3, 4, 6, 7, 8, 9]


async def test_only_one_relay_works_and_the_other_takes_over(store: PostgresEventStore, database: Database) -> None:
    broker = FakeBroker()
    held, waiting = (OutboxCursor(database.conninfo(APPEND), "nats") for _ in range(2))
    await fill(store, 2)
    assert await Relay(store, held, broker).catch_up() == 2
    standby = Relay(store, waiting, broker)
    await fill(store, 2)
    assert await standby.catch_up() == 0
    assert standby.standby
    with database.cluster.superuser() as connection:  # the holder's host dies
        connection.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
    assert await standby.catch_up() == 2
    with pytest.raises(Transient):
        await held.save(Place(99, "stale"))
    await held.close()
    assert await waiting.claim() == Place(4, "first")
    await waiting.close()
    assert broker.sequences() == [1, 2, 3, 4]


async def test_a_running_relay_waits_out_a_broker_that_is_gone(store: PostgresEventStore, cursor: OutboxCursor) -> None:
    broker = FakeBroker()
    broker.gone = broker.lost = True
    relay = Relay(store, cursor, broker)
    running = asyncio.create_task(relay.run())
    await fill(store, 3)
    async with asyncio.timeout(30):
        await broker.missed.wait()
    broker.gone = False
    await broker.until(3)
    await fill(store, 1)
    await broker.until(4)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert broker.sequences() == [1, 2, 3, 4]
