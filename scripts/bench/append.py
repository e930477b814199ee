"""Durable appends: our event store, 64 producers each awaiting its own, against the `eventsourcing` library singly.

Both write 1 KB events into the same fsyncing cluster, interleaved, beside the disk's own fdatasync rate.
"""

import asyncio
import os
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from eventsourcing.persistence import StoredEvent as LibraryEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.ids import EventId
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND
from scripts.bench.report import Line
from tests.postgres import PASSWORDS, SUPERUSER, Database, PostgresCluster, prepare

ROUNDS = 5
OURS, THEIRS, SYNCS, PRODUCERS = 6400, 300, 300, 64
BODY = "x" * 900
GOAL = 25


def _event(stream: StreamId) -> Event:
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


def _appends(name: str, count: int) -> list[Append]:
    stream = StreamId("default", "Bench", "default", name)
    return [Append(stream=stream, expected_version=version, events=(_event(stream),)) for version in range(count)]


async def _ours(conninfo: str, count: int, producers: int) -> float:
    async with await PostgresEventStore.open(conninfo) as store:

        async def produce(appends: list[Append]) -> None:
            for append in appends:
                await store.append(append)

        work = [_appends(f"p{number}-{uuid.uuid4().hex[:8]}", count // producers) for number in range(producers)]
        await store.append()  # connected before the clock starts
        started = time.perf_counter()
        await asyncio.gather(*map(produce, work))
        return count / (time.perf_counter() - started)


def _theirs(recorder: PostgresApplicationRecorder) -> float:
    aggregate = uuid.uuid4()
    events = [
        LibraryEvent(originator_id=aggregate, originator_version=version, topic="bench", state=BODY.encode())
        for version in range(1, THEIRS + 1)
    ]
    started = time.perf_counter()
    for event in events:
        recorder.insert_events([event])
    return THEIRS / (time.perf_counter() - started)


def _syncs(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        started = time.perf_counter()
        for _ in range(SYNCS):
            os.write(file.fileno(), b"x" * 1024)
            os.fdatasync(file.fileno())
        return SYNCS / (time.perf_counter() - started)


def measure() -> list[Line]:
    """Interleaved rounds in a cluster of our own with fsync on; medians."""
    cluster = PostgresCluster(fsync=True)
    try:
        cluster.start()
        prepare(cluster, "bench")
        database = Database(cluster, "bench")
        recorder = _library(cluster)
        rows = [_round(database, recorder, cluster.root) for _ in range(ROUNDS)]
    finally:
        cluster.remove()
    many, one, library, syncs = (median(column) for column in zip(*rows, strict=True))
    peer = f"{library:,.0f}/s eventsourcing, singly"
    return [
        Line(
            name=f"append, {PRODUCERS} awaited producers",
            ours=f"{many:,.0f} events/s",
            peer=peer,
            ratio=f"{many / library:.1f}x",
            goal=f">= {GOAL}x",
            met=many >= GOAL * library,
        ),
        Line(
            name="append, 1 awaited producer",
            ours=f"{one:,.0f} events/s",
            peer=peer,
            ratio=f"{one / library:.1f}x",
            goal="-",
            met=None,
        ),
        Line(
            name=f"append, {PRODUCERS} producers, and the disk",
            ours=f"{many:,.0f} events/s",
            peer=f"{syncs:,.0f}/s fdatasync",
            ratio=f"{many / syncs:.1f}x",
            goal="-",
            met=None,
        ),
    ]


def _round(database: Database, recorder: PostgresApplicationRecorder, directory: Path) -> tuple[float, ...]:
    conninfo = database.conninfo(APPEND)
    return (
        asyncio.run(_ours(conninfo, OURS, PRODUCERS)),
        asyncio.run(_ours(conninfo, THEIRS, 1)),
        _theirs(recorder),
        _syncs(directory),
    )


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
