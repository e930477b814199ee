"""A thousand seeded histories of writers that are slow, aborted and killed, over one PostgreSQL.

Whoever reads sees 1..n in order, whatever happened and however often it started anew; every stream counts 1..n; the
relay hands everything on at least once, over a broker that fails and is wiped; who consumes applies each event once.
A failure names its seed. AGENTPLANE_HISTORIES=N plays N of them instead.
"""
# ruff: noqa: S311

import asyncio
import os
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from agentplane.errors import Conflict, Transient
from agentplane.events.model import Append, StoredEvent
from agentplane.ids import EventId
from agentplane.store import sql
from agentplane.store.outbox import OutboxCursor
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.reader import LogReader
from agentplane.store.relay import Relay
from agentplane.store.roles import APPEND, PROJECT
from tests.contract.test_event_store import event, stream
from tests.integration.store.test_order import assert_versions_contiguous
from tests.integration.store.test_relay import FakeBroker
from tests.postgres import SUPERUSER, Database

HISTORIES = int(os.environ.get("AGENTPLANE_HISTORIES", "1000"))
BLOCK = 100
WRITERS, CALLS, STREAMS = 3, 4, 2
SLOW = """
    INSERT INTO log.events
    SELECT coalesce(max(sequence), 0) + 1, gen_random_uuid(), 'acme', 'Run', 'default', 'slow-' || gen_random_uuid(), 1,
        'fact', 'run.placed', 1, 'user:x', now(), greatest(now(), max(recorded_at)), gen_random_uuid(), NULL, '{}',
        decode(repeat('00', 32), 'hex')
    FROM log.events"""
KILL = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = 'agentplane_append' ORDER BY random() LIMIT 1"""


class World:
    """One database, several writers as processes would be, and a checker that believes none of them."""

    def __init__(self, database: Database, stores: list[PostgresEventStore], relay: Relay, broker: FakeBroker) -> None:
        self.database = database
        self.stores = stores
        self.relay = relay
        self.broker = broker
        self.stored: set[uuid.UUID] = set()  # acknowledged
        self.committed_beside = 0
        self.applied: Counter[str] = Counter()
        self._consumed: set[str] = set()

    async def play(self, seed: int) -> None:
        """One history, then everything that must hold after it."""
        rng = random.Random(seed)
        writers = [self._write(random.Random(rng.random()), seed) for _ in range(WRITERS)]
        await asyncio.gather(self._trouble(rng), self._hand_on(rng), *writers)

    async def _write(self, rng: random.Random, seed: int) -> None:
        for _ in range(CALLS):
            at = stream(f"seed-{seed}-{rng.randrange(STREAMS)}")
            # numbers repeat between writers, so the same event comes from several of them, and with two bodies
            ids = [uuid.uuid5(uuid.NAMESPACE_OID, f"{at.name}-{rng.randrange(8)}") for _ in range(rng.randint(1, 3))]
            events = tuple(
                event(at, id=EventId(each), correlation_id=each, data={"odd": rng.random() < 0.1})
                for each in dict.fromkeys(ids)
            )
            await self._insist(rng, Append(stream=at, expected_version=None, events=events))

    async def _insist(self, rng: random.Random, call: Append) -> None:
        """The same call again while the database is away, through another process perhaps."""
        while True:
            try:
                stored = await rng.choice(self.stores).append(call)
            except Transient:
                continue
            except Conflict:  # the same id, another body: somebody was first
                return
            self.stored |= {each.event.id for each in stored}
            return

    async def _trouble(self, rng: random.Random) -> None:
        """Somebody holds the append lock, dawdles, and commits, rolls back or vanishes; somebody is killed."""
        async with await psycopg.AsyncConnection.connect(self.database.conninfo(APPEND)) as slow:
            try:
                await slow.execute(sql.ENTER)
                await slow.execute(SLOW)
                await slow.execute("SELECT pg_sleep(%s)", [rng.random() / 500])
                if rng.random() < 0.4:
                    await slow.commit()
                    self.committed_beside += 1
                elif rng.random() < 0.5:
                    await slow.rollback()
                else:
                    await slow.close()
            except psycopg.OperationalError:
                return  # it was the one that was killed
        if rng.random() < 0.3:
            async with await psycopg.AsyncConnection.connect(self.database.conninfo(SUPERUSER)) as killer:
                await killer.execute(KILL)

    async def _hand_on(self, rng: random.Random) -> None:
        self.broker.fail_after = rng.choice((None, None, 0, 1))
        if rng.random() < 0.1:
            self.broker.wipe()
        try:
            await self.relay.catch_up()
        except Transient:
            self.broker.fail_after = None
        self.consume()

    async def hand_on_all(self) -> None:
        """The last history may have killed the relay's own connection: it comes back."""
        while True:
            try:
                await self.relay.catch_up()
            except Transient:
                continue
            return

    def consume(self) -> None:
        """Apply what is new by its id, as every consumer does; the broker may hold anything twice, or nothing."""
        for _, _, message_id in self.broker.kept:
            if message_id not in self._consumed:
                self._consumed.add(message_id)
                self.applied[message_id] += 1


async def follow(conninfo: str, rng: random.Random, done: asyncio.Event) -> list[StoredEvent]:
    """What a reader saw that is closed and opened again and again, and goes on where it was."""
    seen: list[StoredEvent] = []
    while True:
        finished = done.is_set()
        reader = LogReader(conninfo)
        for _ in range(rng.randint(1, 20)):
            # at random moments: readers that never pause look no closer, and take the processors from the writers
            await asyncio.sleep(rng.random() / 250)
            page = await reader.read(len(seen), rng.randint(1, 80))
            assert [each.sequence for each in page] == list(range(len(seen) + 1, len(seen) + len(page) + 1))
            seen += page
        await reader.close()
        if finished and not page:
            return seen


@asynccontextmanager
async def world(database: Database) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        conninfo = database.conninfo(APPEND)
        opened = [await PostgresEventStore.open(conninfo, patience_s=0.2) for _ in range(WRITERS)]
        stores = [await stack.enter_async_context(store) for store in opened]
        cursor = OutboxCursor(conninfo, "nats")
        stack.push_async_callback(cursor.close)
        log = LogReader(database.conninfo(PROJECT))
        stack.push_async_callback(log.close)
        broker = FakeBroker()
        yield World(database, stores, Relay(log, cursor, broker, batch=40), broker)


@pytest.mark.parametrize("first", range(0, HISTORIES, BLOCK), ids=lambda first: f"seeds-{first}")
async def test_no_history_breaks_the_order(database: Database, first: int) -> None:
    done = asyncio.Event()
    readers = [
        asyncio.create_task(follow(database.conninfo(PROJECT), random.Random(first + n), done)) for n in range(2)
    ]
    async with world(database) as played:
        for seed in range(first, min(first + BLOCK, HISTORIES)):
            try:
                await played.play(seed)
            except Exception as exc:
                exc.add_note(f"seed {seed}")
                raise
        played.broker.fail_after = None
        await played.hand_on_all()
        played.consume()
    done.set()
    logs = await asyncio.gather(*readers)
    assert logs[0] == logs[1]
    assert_versions_contiguous(logs[0])
    ids = [each.event.id for each in logs[0]]
    assert len(set(ids)) == len(ids)
    assert played.stored <= set(ids)
    # what nobody was told of may be there: its writer was killed between commit and answer, and came again
    assert len(ids) == len(played.stored) + played.committed_beside
    assert played.applied == dict.fromkeys(map(str, ids), 1)
