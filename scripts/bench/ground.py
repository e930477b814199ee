"""What the log's benchmarks stand on: a cluster of our own with fsync on, our database in it and the library's."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, UUIDAsHex
from eventsourcing.persistence import StoredEvent as LibraryEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.ids import EventId
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, PROJECT
from tests.postgres import PASSWORDS, SUPERUSER, Database, PostgresCluster, prepare

BODY: Final = "x" * 900
BATCH: Final = 1000
RUNS: Final = 1000
SEGMENTS: Final = 60  # 1 GB


class Ground:
    """A running cluster; `recorder` is the library's, in a database beside ours."""

    def __init__(self, cluster: PostgresCluster) -> None:
        self.cluster = cluster
        self.database = Database(cluster, "bench")
        self.append = self.database.conninfo(APPEND)
        self.project = self.database.conninfo(PROJECT)
        self.superuser = self.database.conninfo(SUPERUSER)
        self.recorder = _library(cluster)


@contextmanager
def ground() -> Iterator[Ground]:
    """A cluster for as long as the block lasts."""
    cluster = PostgresCluster(fsync=True)
    try:
        cluster.start()
        prepare(cluster, "bench")
        _recycle(cluster)
        yield Ground(cluster)
    finally:
        cluster.remove()


def _recycle(cluster: PostgresCluster) -> None:
    """Give the server what one that has run for a while has: segments of its journal to write over.

    A new one creates and fills 16 MB files beside what is measured, a tenth of the time of an append of ours.
    """
    with cluster.superuser() as database:
        database.execute("ALTER SYSTEM SET min_wal_size = '1GB'")
        database.execute("SELECT pg_reload_conf()")
        for _ in range(SEGMENTS):
            database.execute("SELECT pg_logical_emit_message(false, 'bench', 'x')")
            database.execute("SELECT pg_switch_wal()")
        database.execute("CHECKPOINT")


def settle(here: Ground) -> None:
    """Do what autovacuum does sooner or later: without statistics a plan is chance, ours and the peers'."""
    for name in ("bench", "library"):
        with here.cluster.superuser(name) as database:
            database.execute("VACUUM ANALYZE")


def event(stream: StreamId) -> Event:
    """An event of about 1 KB."""
    source = uuid.uuid4()
    return Event(
        id=EventId(source),
        stream=stream,
        phase=Phase.FACT,
        type="bench.happened",
        actor="user:bench",
        time=datetime.now(UTC),
        correlation_id=source,
        data={"body": BODY},
    )


def run(number: int) -> StreamId:
    """The stream of a run."""
    return StreamId("default", "Run", "default", f"run-{number % RUNS:04}")


async def fill(store: PostgresEventStore, count: int) -> None:
    """Events of many runs, interleaved, in calls of 1,000."""
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        appends = [Append(stream=run(n), expected_version=None, events=(event(run(n)),)) for n in numbers]
        await store.append(*appends)


def fill_ours(conninfo: str, count: int) -> None:
    """`fill`, with a store of its own."""

    async def filling() -> None:
        async with await PostgresEventStore.open(conninfo) as store:
            await fill(store, count)

    asyncio.run(filling())


class Happened(DomainEvent):
    """The library's event with the same content."""

    body: str


def mapper() -> Any:  # noqa: ANN401 - the library's, whose types are its own
    """As the library's applications have it."""
    transcoder = JSONTranscoder()
    transcoder.register(UUIDAsHex())
    transcoder.register(DatetimeAsISO())
    return Mapper(transcoder)


def fill_library(recorder: PostgresApplicationRecorder, count: int) -> None:
    """The same runs for the library, in its batches of 1,000."""
    map_, runs = mapper(), [uuid.uuid4() for _ in range(RUNS)]
    for start in range(0, count, BATCH):
        recorder.insert_events([_library_event(map_, runs, n) for n in range(start, min(start + BATCH, count))])


def _library_event(
    map_: Any,  # noqa: ANN401 - as `mapper`
    runs: list[uuid.UUID],
    number: int,
) -> LibraryEvent:
    make: Any = Happened
    happened = make(
        originator_id=runs[number % RUNS],
        originator_version=number // RUNS + 1,
        timestamp=datetime.now(UTC),
        body=BODY,
    )
    stored: LibraryEvent = map_.to_stored_event(happened)
    return stored


def _library(cluster: PostgresCluster) -> PostgresApplicationRecorder:
    with cluster.superuser() as connection:
        connection.execute("CREATE DATABASE library")
    # over TCP: over a Unix socket the library hangs with larger batches
    datastore = PostgresDatastore(
        dbname="library", host="127.0.0.1", port=str(cluster.port), user=SUPERUSER, password=PASSWORDS[SUPERUSER]
    )
    recorder = PostgresApplicationRecorder(datastore, events_table_name="bench_events")
    recorder.create_table()
    return recorder
