"""PostgreSQL on a disk that is really full: nothing acknowledged is lost, words that help, and it goes on by itself."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from agentplane.errors import Transient
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND
from tests.contract.test_event_store import append, event, stream
from tests.postgres import TEMPLATE, PostgresCluster, prepare
from tests.smalldisk import SmallDisk, small_disk

ROOM_MIB = 192


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallDisk]:
    """Where the cluster goes: its data, its WAL, its socket."""
    directory = Path(tempfile.mkdtemp(prefix="agentplane-full-"))
    directory.chmod(0o711)
    with small_disk(directory / "disk", ROOM_MIB) as mounted:
        monkeypatch.setattr(tempfile, "tempdir", str(mounted.path))
        yield mounted
    directory.rmdir()


@pytest.fixture
def cluster(disk: SmallDisk) -> Iterator[PostgresCluster]:
    cluster = PostgresCluster(fsync=True)
    try:
        prepare(cluster.start())
        yield cluster
    finally:
        disk.free()
        cluster.remove()


@pytest.fixture
async def store(cluster: PostgresCluster) -> AsyncIterator[PostgresEventStore]:
    async with await PostgresEventStore.open(cluster.conninfo(APPEND, TEMPLATE), poll_s=0.05, patience_s=0.2) as opened:
        yield opened


async def append_until_refused(store: PostgresEventStore) -> tuple[int, Transient]:
    """How many events were acknowledged before one was not, and what was said of that one."""
    count = 0
    while True:
        try:
            await store.append(*(append(event(stream(f"s{count + n}"))) for n in range(20)))
        except Transient as refused:
            return count, refused
        count += 20


async def whole_log(store: PostgresEventStore) -> list[int]:
    return [each.sequence for page in range(0, await store.head(), 1000) for each in await store.read(page)]


async def test_a_full_data_directory_refuses_by_name_and_goes_on(
    cluster: PostgresCluster, disk: SmallDisk, store: PostgresEventStore
) -> None:
    disk.fill()
    acknowledged, refused = await append_until_refused(store)
    assert refused.code == "store.full"
    assert "No space left on device" in refused.message
    assert refused.hint == "free space on the database's disk"
    assert refused.exit_status == 6
    assert await whole_log(store) == list(range(1, acknowledged + 1))  # it still answers
    disk.free()
    await store.append(append(event(stream("after"))))
    assert await whole_log(store) == list(range(1, acknowledged + 2))


async def test_no_room_for_the_write_ahead_log_costs_nothing_acknowledged(
    cluster: PostgresCluster, disk: SmallDisk, store: PostgresEventStore
) -> None:
    """PostgreSQL itself gives up then; whoever starts it again finds everything that was acknowledged."""
    await store.append(*(append(event(stream(f"s{n}"))) for n in range(10)))
    disk.fill()
    with pytest.raises(psycopg.OperationalError), cluster.superuser(TEMPLATE) as connection:  # noqa: PT012
        while True:  # each takes a new segment
            connection.execute("CREATE TEMP TABLE IF NOT EXISTS t (x int)")
            connection.execute("SELECT pg_switch_wal(), txid_current()")
    with pytest.raises(Transient) as caught:
        await store.append(append(event(stream("refused"))))
    assert caught.value.code in {"store.unavailable", "store.full"}
    disk.free()
    cluster.stop()
    cluster.start()
    (stored,) = await store.append(append(event(stream("after"))))
    log = await whole_log(store)
    assert log == list(range(1, stored.sequence + 1))
    assert stored.sequence == 11
