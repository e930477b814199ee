"""Reading the log again: catching up and rebuilding a read model, against the library and the database itself.

All read the same number of 1 KB events of 1,000 runs. The library's rebuild is its own: notifications by the thousand,
its mapper, a fold. The limits are psql's COPY of the same rows, and the set-based statement that one would write by
hand. Results are compared.
"""

import asyncio
import resource
import subprocess
import time
from statistics import median
from typing import Any, Final, LiteralString

import msgspec
import psycopg
from eventsourcing.postgres import PostgresApplicationRecorder

from agentplane.projections.engine import STREAMS
from agentplane.store.reader import LogReader
from agentplane.store.roles import PROJECT
from agentplane.store.views import ViewStore
from scripts.bench.ground import BATCH, RUNS, Ground, fill_library, fill_ours, ground, mapper, settle
from scripts.bench.report import Line, Unmeasured, at_least
from tests.postgres import PASSWORDS

ROUNDS: Final = 3
EVENTS: Final = 200_000
COPY: Final = "COPY (SELECT * FROM log.events ORDER BY sequence) TO STDOUT (FORMAT binary)"
BY_HAND: Final[LiteralString] = """
    INSERT INTO views.by_hand
    SELECT runs.tenant, runs.kind, runs.namespace, runs.name, events, intents, facts, low, high,
        first.recorded_at, last.recorded_at, last.type, last.actor
    FROM (
        SELECT tenant, kind, namespace, name, count(*) AS events, count(*) FILTER (WHERE phase = 'intent') AS intents,
            count(*) FILTER (WHERE phase = 'fact') AS facts, min(sequence) AS low, max(sequence) AS high
        FROM log.events GROUP BY tenant, kind, namespace, name
    ) runs JOIN log.events first ON first.sequence = low JOIN log.events last ON last.sequence = high"""


class Data(msgspec.Struct, gc=False):
    """What a fold over these events would read of their data."""

    body: str


def measure() -> list[Line]:
    """Interleaved rounds; medians."""
    with ground() as here:
        fill_ours(here.append, EVENTS)
        fill_library(here.recorder, EVENTS)
        settle(here)
        times = asyncio.run(_rounds(here))
    m = {name: median(each[name] for each in times) for name in times[0]}
    return [
        at_least("catch up, decoded", m["scan"], m["notifications"], "eventsourcing, notifications", 3),
        at_least("catch up, decoded, and the limit", m["scan"], m["copy"], "psql COPY TO", 0.75),
        at_least(
            "catch up by pages, whole events", m["pages"], m["notifications"], "eventsourcing, notifications", None
        ),
        at_least("rebuild, a read model per run", m["rebuild"], m["library"], "eventsourcing, read + map + fold", 7),
        at_least("rebuild, and the limit", m["rebuild"], m["by hand"], "set-based SQL by hand", 0.9),
    ]


async def _rounds(here: Ground) -> list[dict[str, float]]:
    views = await projected(here.project, EVENTS)
    reader = LogReader(here.project)
    times = [
        {
            "scan": await scanned(reader, EVENTS),
            "copy": copied(here.project, EVENTS),
            "pages": await _pages(reader),
            "notifications": _notifications(here.recorder),
            "rebuild": await rebuilt(views, EVENTS),
            "by hand": by_hand(here.project, EVENTS),
            "library": _folded(here.recorder),
        }
        for _ in range(ROUNDS)
    ]
    await reader.close()
    await views.close()
    return times


async def projected(conninfo: str, events: int) -> ViewStore:
    """The read model, up to date."""
    views = ViewStore(conninfo, (STREAMS,))
    await views.prepare()
    if await views.catch_up() != events:
        raise Unmeasured("the read model did not take all events")
    prepare_by_hand(conninfo)
    return views


def prepare_by_hand(conninfo: str) -> None:
    """A table for the statement that somebody wrote by hand."""
    with psycopg.connect(conninfo, autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS views.by_hand; CREATE TABLE views.by_hand (LIKE views.streams)")


async def scanned(reader: LogReader, count: int) -> float:
    """Events/s, each with its place, stream, type and data."""
    seen, started = 0, time.perf_counter()
    async for events in reader.scan(Data, upto=count):
        seen += len(events)
    elapsed = time.perf_counter() - started
    if seen != count or len(events[-1].data.body) == 0:
        raise Unmeasured(f"{seen} of {count} events were read")
    return count / elapsed


def copied(conninfo: str, count: int) -> float:
    """Rows/s of the server and a C client that decodes nothing."""
    started = time.perf_counter()
    environment = {"PGPASSWORD": PASSWORDS[PROJECT]}
    subprocess.run(["psql", "-qX", conninfo, "-c", COPY], stdout=subprocess.DEVNULL, env=environment, check=True)
    return count / (time.perf_counter() - started)


async def _pages(reader: LogReader) -> float:
    after, started = 0, time.perf_counter()
    while events := await reader.read(after, BATCH):
        after = events[-1].sequence
    return after / (time.perf_counter() - started)


def _notifications(recorder: PostgresApplicationRecorder) -> float:
    seen, started = 0, time.perf_counter()
    while page := recorder.select_notifications(seen + 1, BATCH):
        seen += len(page)
    return seen / (time.perf_counter() - started)


async def rebuilt(views: ViewStore, count: int) -> float:
    """Events/s of a whole rebuild: shadow table, fold, comparison of all rows, switch."""
    started = time.perf_counter()
    report = await views.rebuild("streams")
    elapsed = time.perf_counter() - started
    if not report.equal or report.position != count:
        raise Unmeasured("a rebuild yields other rows")
    return count / elapsed


def by_hand(conninfo: str, count: int) -> float:
    """Events/s of the statement alone; its rows must be ours."""
    with psycopg.connect(conninfo, autocommit=True, options="-c jit=off") as database:
        database.execute("TRUNCATE views.by_hand")
        started = time.perf_counter()
        database.execute(BY_HAND)
        elapsed = time.perf_counter() - started
        found = database.execute("SELECT count(*) FROM (TABLE views.by_hand EXCEPT TABLE views.streams) x").fetchone()
    if found != (0,):
        raise Unmeasured("the statement by hand yields other rows")
    return count / elapsed


def _folded(recorder: PostgresApplicationRecorder) -> float:
    map_: Any = mapper()
    runs: dict[Any, tuple[int, int, int]] = {}
    seen, started = 0, time.perf_counter()
    while page := recorder.select_notifications(seen + 1, BATCH):
        for notification in page:
            event = map_.to_domain_event(notification)
            count, first, _ = runs.get(event.originator_id, (0, notification.id, 0))
            runs[event.originator_id] = (count + 1, first, notification.id)
        seen += len(page)
    if len(runs) != min(RUNS, EVENTS):
        raise Unmeasured("the library folded other runs")
    return seen / (time.perf_counter() - started)


def resident_mib() -> float:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
