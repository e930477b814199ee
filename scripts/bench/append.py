"""Durable appends: our event store with all its checks, against the `eventsourcing` library and the database itself.

All write 1 KB events into the same fsyncing cluster, in turns, beside the disk's own fdatasync rate.
"""

import asyncio
import os
import tempfile
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, LiteralString

import psycopg
from eventsourcing.persistence import StoredEvent as LibraryEvent
from eventsourcing.postgres import PostgresApplicationRecorder

from agentplane.events.model import Append, StreamId
from agentplane.store import rows, sql
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.prepare import prepare
from scripts.bench.ground import BATCH, BODY, Ground, event, ground
from scripts.bench.report import Line, at_least

ROUNDS: Final = 5
PRODUCERS: Final = 64
OURS, SINGLE, BULK, SYNCS = 9600, 300, 10, 300  # events, events, batches, syncs of a round
# a twin of the log without its triggers: for the limit, and for batches that nobody keeps in order
TWIN: Final = """
    CREATE TABLE log.twin (LIKE log.events INCLUDING ALL);
    CREATE SEQUENCE log.numbers;
    ALTER TABLE log.twin ALTER sequence SET DEFAULT nextval('log.numbers');
    CREATE UNLOGGED TABLE log.source (LIKE log.events)"""
_COLUMNS: Final[LiteralString] = sql.COPY.split("(", 1)[1].split(")", 1)[0]
_UNNUMBERED: Final[LiteralString] = _COLUMNS.replace("sequence, ", "", 1)
LIMIT: Final[LiteralString] = (
    "INSERT INTO log.twin (" + _UNNUMBERED + ") SELECT " + _UNNUMBERED + " FROM log.source "  # noqa: S608 - literals
    "WHERE sequence > %s AND sequence <= %s"
)


def measure() -> list[Line]:
    """Interleaved rounds; medians."""
    with ground() as here:
        with psycopg.connect(here.superuser, autocommit=True) as database:
            database.execute(TWIN)
        times = [_round(here, number) for number in range(ROUNDS)]
    m = {name: median(each[name] for each in times) for name in times[0]}
    return [
        at_least(f"append, {PRODUCERS} awaited producers", m["many"], m["library"], "eventsourcing, singly", 40),
        at_least("append, 1 awaited producer", m["one"], m["library"], "eventsourcing, singly", 3),
        at_least(f"append, {PRODUCERS} producers, and the disk", m["many"], m["syncs"], "fdatasync", 5),
        at_least("append, batches of 1,000", m["batches"], m["library batches"], "eventsourcing, batches of 1,000", 6),
        at_least("append, batches of 1,000, and the limit", m["batches"], m["limit"], "INSERT ... SELECT", 0.85),
        at_least("COPY in gap-free order", m["ordered"], m["unordered"], "without order", 0.9),
        Line(
            name=f"append, {PRODUCERS} producers, our processor time",
            ours=f"{m['cpu']:.1f} us/event",
            peer=f"{m['library cpu']:.0f} us eventsourcing, singly",
            ratio=f"{m['cpu'] / m['library cpu']:.2f}",
            goal="-",
            met=None,
        ),
    ]


def _round(here: Ground, number: int) -> dict[str, float]:
    many, cpu = asyncio.run(produce(here.append, OURS, PRODUCERS))
    one, _ = asyncio.run(produce(here.append, SINGLE, 1))
    library, library_cpu = _singly(here.recorder)
    return {
        "many": many,
        "cpu": cpu,
        "one": one,
        "library": library,
        "library cpu": library_cpu,
        "syncs": _syncs(here.cluster.root),
        "batches": asyncio.run(batches(here.append, BULK)),
        "library batches": _library_batches(here.recorder),
        "limit": _limit(here, number),
        **_orders(here),
    }


async def produce(conninfo: str, count: int, producers: int) -> tuple[float, float]:
    """Events/s and processor time (us) per event of producers that each await every append."""
    async with await PostgresEventStore.open(conninfo) as store:

        async def one(appends: list[Append]) -> None:
            for append in appends:
                await store.append(append)

        work = [_appends(f"p{number}-{uuid.uuid4().hex[:8]}", count // producers) for number in range(producers)]
        await store.append()  # connected before the clock starts
        started, worked = time.perf_counter(), time.process_time()
        await asyncio.gather(*map(one, work))
        elapsed, worked = time.perf_counter() - started, time.process_time() - worked
        return count / elapsed, worked / count * 1e6


def _appends(name: str, count: int) -> list[Append]:
    stream = StreamId("default", "Bench", "default", name)
    return [Append(stream=stream, expected_version=version, events=(event(stream),)) for version in range(count)]


async def batches(conninfo: str, count: int) -> float:
    """Events/s of one producer that awaits calls of 1,000 events."""
    stream = StreamId("default", "Bench", "default", f"batch-{uuid.uuid4().hex[:8]}")
    calls = [Append(stream=stream, expected_version=None, events=_thousand(stream)) for _ in range(count)]
    async with await PostgresEventStore.open(conninfo) as store:
        await store.append()
        started = time.perf_counter()
        for call in calls:
            await store.append(call)
        return count * BATCH / (time.perf_counter() - started)


def _thousand(stream: StreamId) -> tuple[Any, ...]:
    return tuple(event(stream) for _ in range(BATCH))


def _singly(recorder: PostgresApplicationRecorder) -> tuple[float, float]:
    events = _library_events(SINGLE)
    started, worked = time.perf_counter(), time.process_time()
    for each in events:
        recorder.insert_events([each])
    elapsed, worked = time.perf_counter() - started, time.process_time() - worked
    return SINGLE / elapsed, worked / SINGLE * 1e6


def _library_batches(recorder: PostgresApplicationRecorder) -> float:
    calls = [_library_events(BATCH) for _ in range(BULK // 2)]
    started = time.perf_counter()
    for call in calls:
        recorder.insert_events(call)
    return len(calls) * BATCH / (time.perf_counter() - started)


def _library_events(count: int) -> list[LibraryEvent]:
    aggregate = uuid.uuid4()
    return [
        LibraryEvent(originator_id=aggregate, originator_version=version, topic="bench", state=BODY.encode())
        for version in range(1, count + 1)
    ]


def _syncs(directory: Path) -> float:
    with tempfile.TemporaryFile(dir=directory) as file:
        started = time.perf_counter()
        for _ in range(SYNCS):
            os.write(file.fileno(), b"x" * 1024)
            os.fdatasync(file.fileno())
        return SYNCS / (time.perf_counter() - started)


def _limit(here: Ground, number: int) -> float:
    """The server alone: rows that it has already, with all indexes and constraints of the log, 1,000 per commit."""
    with psycopg.connect(here.superuser, autocommit=True) as database:
        _copy(database, "log.source", _COLUMNS, _rows(number * BULK * BATCH, BULK * BATCH))
        started = time.perf_counter()
        for start in range(number * BULK, number * BULK + BULK):
            database.execute(LIMIT, [start * BATCH, (start + 1) * BATCH])
        return BULK * BATCH / (time.perf_counter() - started)


def _orders(here: Ground) -> dict[str, float]:
    """The same batches of encoded rows into the log, whose order has no gaps, and into a twin that has none."""
    took = {"ordered": 0.0, "unordered": 0.0}
    with psycopg.connect(here.superuser, autocommit=True) as database:
        found = database.execute(sql.HEAD).fetchone()
        head = int(found[0]) if found else 0
        for _ in range(BULK):
            mine, others = _rows(head, BATCH), _rows(0, BATCH)
            head += BATCH
            started = time.perf_counter()
            _copy(database, "log.events", _COLUMNS, mine)
            took["ordered"] += time.perf_counter() - started
            started = time.perf_counter()
            _copy(database, "log.twin", _UNNUMBERED, [_unnumbered(row) for row in others])
            took["unordered"] += time.perf_counter() - started
    return {name: BULK * BATCH / seconds for name, seconds in took.items()}


def _rows(head: int, count: int) -> list[bytes]:
    stream, now = StreamId("default", "Bench", "default", f"rows-{uuid.uuid4().hex}"), datetime.now(UTC)
    found = []
    for number in range(1, count + 1):
        call = prepare((Append(stream=stream, expected_version=None, events=(event(stream),)),), now).whole()
        found.append(rows.place(head + number, number, rows.microseconds(now)) + call.prepared[0][0].tail)
    return found


def _unnumbered(row: bytes) -> bytes:
    """A row without its first field, the sequence."""
    return (rows.FIELDS - 1).to_bytes(2, "big") + row[14:]


def _copy(database: psycopg.Connection[Any], table: LiteralString, columns: LiteralString, data: list[bytes]) -> None:
    statement: LiteralString = "COPY " + table + " (" + columns + ") FROM STDIN (FORMAT binary)"
    with database.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(b"".join((rows.SIGNATURE, *data, rows.END)))
