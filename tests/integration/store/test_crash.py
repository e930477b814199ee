"""PostgreSQL killed with -9 while many append: nothing acknowledged is lost, nothing is stored twice."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from agentplane.errors import Transient
from agentplane.events.model import Append
from agentplane.store.batch import BatchWriter, Outcome
from agentplane.store.entry import Call
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.reader import LogReader
from agentplane.store.roles import APPEND
from tests.contract.test_event_store import append, event, stream
from tests.postgres import TEMPLATE, Database, PostgresCluster, prepare


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[PostgresCluster]:
    """A cluster that may be killed without hurting other tests."""
    cluster = PostgresCluster(fsync=True)
    try:
        prepare(cluster.start())
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture
async def store(own_cluster: PostgresCluster) -> AsyncIterator[PostgresEventStore]:
    conninfo = own_cluster.conninfo(APPEND, TEMPLATE)
    async with await PostgresEventStore.open(conninfo, poll_s=0.05, patience_s=0.2) as opened:
        yield opened


async def insist(store: PostgresEventStore, call: Append) -> int:
    """Repeat the same call while the database is away; its sequence."""
    while True:
        try:
            return (await store.append(call))[0].sequence
        except Transient as exc:
            await asyncio.sleep(exc.delay_s / 10)


async def test_killed_mid_append_everything_acknowledged_is_there_once(
    own_cluster: PostgresCluster, store: PostgresEventStore
) -> None:
    acknowledged: dict[int, Append] = {}
    stopping = asyncio.Event()
    progress = asyncio.Condition()

    async def produce(number: int) -> None:
        at, version = stream(f"producer-{number}"), 0
        while not stopping.is_set():
            call = append(event(at), expected=version)
            sequence = await insist(store, call)
            assert sequence not in acknowledged
            acknowledged[sequence] = call
            version += 1
            async with progress:
                progress.notify_all()

    producers = [asyncio.create_task(produce(number)) for number in range(16)]
    for _ in range(3):
        reached = len(acknowledged) + 200
        async with asyncio.timeout(60), progress:
            await progress.wait_for(lambda goal=reached: len(acknowledged) >= goal)  # type: ignore[misc]
        await asyncio.to_thread(own_cluster.kill)
        await asyncio.to_thread(own_cluster.start)
    stopping.set()
    await asyncio.gather(*producers)
    log = [s for page in range(0, await store.head(), 1000) for s in await store.read(page)]
    assert [s.sequence for s in log] == list(range(1, len(log) + 1))
    assert {s.sequence: s.event for s in log} == {n: call.events[0] for n, call in acknowledged.items()}


async def test_while_the_database_is_away_callers_hear_transient_and_later_it_heals(
    own_cluster: PostgresCluster, store: PostgresEventStore
) -> None:
    call = append(event(stream("patient")))
    wakeups = store.wakeups()
    await anext(wakeups)
    own_cluster.kill()
    try:
        for attempt in (store.append(call), store.read(0), store.head()):
            with pytest.raises(Transient) as caught:
                await attempt
            assert caught.value.code == "store.unavailable"
        await anext(wakeups)  # goes on as a poll
    finally:
        own_cluster.start()
    (stored,) = await store.append(call)
    assert (await store.read(stored.sequence - 1))[0] == stored
    await anext(wakeups)
    await wakeups.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_whose_answer_was_lost_is_looked_up_and_not_repeated(
    database: Database, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    """The connection breaks right after, or right before, the COMMIT was carried out."""
    original = BatchWriter.write
    broken: list[bool] = []

    async def breaking(self: BatchWriter, requests: Sequence[Call], **options: Any) -> Sequence[Outcome]:
        if broken:
            return await original(self, requests, **options)
        broken.append(True)
        if committed:
            await original(self, requests, **options)
        self.forget()
        raise Transient("server closed the connection unexpectedly")

    monkeypatch.setattr(BatchWriter, "write", breaking)
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        stored = await store.append(append(event(), event(), expected=0))
        assert [s.stream_version for s in stored] == [1, 2]
        assert await store.read(0) == stored
    assert len(broken) == 1


async def test_a_reader_survives_the_end_of_its_connection(database: Database) -> None:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await store.append(append(event()))
        reader = LogReader(database.conninfo(APPEND))
        assert len(await reader.read(0)) == 1
        with database.cluster.superuser() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = %s", [APPEND]
            )
        assert len(await reader.read(0)) == 1
        await store.append(append(event()))
        assert await reader.head() == 2
        await reader.close()
