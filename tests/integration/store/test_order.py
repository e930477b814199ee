"""The property everything else stands on: whoever reads, sees 1..n in order, without gaps, whoever writes and how."""
# ruff: noqa: S311

import asyncio
import json
import random
import sys
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentplane.errors import AgentplaneError
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.ports import EventStore
from agentplane.store.memory import MemoryEventStore
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.reader import LogReader
from agentplane.store.roles import APPEND, PROJECT
from tests.contract.test_event_store import FixedClock, event
from tests.postgres import Database

WRITERS, PRODUCERS, CALLS = 3, 4, 12


async def write(conninfo: str, seed: int) -> set[str]:
    """The ids that a writer process was told are stored."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.store.writer"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    order = {"conninfo": conninfo, "seed": seed, "calls": CALLS, "producers": PRODUCERS}
    output, _ = await process.communicate(json.dumps(order).encode() + b"\n")
    assert process.returncode == 0
    return set(output.decode().split())


async def follow(conninfo: str, rng: random.Random, done: asyncio.Event) -> list[StoredEvent]:
    """Everything a polling reader saw, in the order it saw it, checked at every page."""
    reader, seen = LogReader(conninfo), list[StoredEvent]()
    while True:
        finished = done.is_set()
        page = await reader.read(len(seen), rng.randint(1, 50))
        assert [s.sequence for s in page] == list(range(len(seen) + 1, len(seen) + len(page) + 1))
        seen += page
        if finished and not page:
            await reader.close()
            return seen


@pytest.mark.parametrize("seed", range(3))
async def test_readers_see_no_gap_with_slow_and_aborted_writers_in_several_processes(
    database: Database, seed: int
) -> None:
    done = asyncio.Event()
    readers = [asyncio.create_task(follow(database.conninfo(PROJECT), random.Random(seed + n), done)) for n in range(3)]
    told = await asyncio.gather(*(write(database.conninfo(APPEND), seed * 100 + n) for n in range(WRITERS)))
    done.set()
    logs = await asyncio.gather(*readers)
    assert logs[0] == logs[1] == logs[2]
    assert sorted(str(s.event.id) for s in logs[0]) == sorted(set().union(*told))
    assert_versions_contiguous(logs[0])
    assert [s.recorded_at for s in logs[0]] == sorted(s.recorded_at for s in logs[0])


def assert_versions_contiguous(log: list[StoredEvent]) -> None:
    versions: dict[StreamId, int] = {}
    for stored in log:
        assert stored.stream_version == versions.get(stored.event.stream, 0) + 1
        versions[stored.event.stream] = stored.stream_version


# a call: appends of (stream, expected version or None, event numbers); numbers repeat, so ids do; bodies may differ
EVENTS = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=3)
APPENDS = st.lists(st.tuples(st.integers(0, 2), st.none() | st.integers(0, 4), EVENTS), min_size=1, max_size=3)


def call(history: uuid.UUID, appends: list[tuple[int, int | None, list[tuple[int, bool]]]]) -> tuple[Append, ...]:
    built = []
    for place, expected, numbers in appends:
        at = StreamId("acme", "Run", history.hex, f"s{place}")
        events = tuple(
            event(
                at,
                id=EventId(uuid.uuid5(history, str(number))),
                correlation_id=history,
                data={"number": number, "odd": odd},
            )
            for number, odd in numbers
        )
        built.append(Append(stream=at, expected_version=expected, events=events))
    return tuple(built)


async def outcome(store: EventStore, appends: tuple[Append, ...], base: int) -> Any:
    try:
        return [(s.sequence - base, s.stream_version, s.event) for s in await store.append(*appends)]
    except AgentplaneError as exc:
        return exc.code, exc.message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(APPENDS, max_size=8), concurrently=st.booleans())
def test_postgres_answers_every_history_as_memory_does(
    database: Database, calls: list[list[tuple[int, int | None, list[tuple[int, bool]]]]], concurrently: bool
) -> None:
    asyncio.run(compare(database, calls, concurrently=concurrently))


async def compare(database: Database, calls: list[Any], *, concurrently: bool) -> None:
    history = uuid.uuid4()
    built = [call(history, appends) for appends in calls]
    memory = MemoryEventStore(clock=FixedClock())
    async with await PostgresEventStore.open(database.conninfo(APPEND), clock=FixedClock()) as postgres:
        base = await postgres.head()
        wanted = [await outcome(memory, appends, 0) for appends in built]
        if concurrently:  # one batch: the queue keeps the order of the calls
            found = await asyncio.gather(*(outcome(postgres, appends, base) for appends in built))
        else:
            found = [await outcome(postgres, appends, base) for appends in built]
        assert found == wanted
        log = await postgres.read(base)
        assert [(s.event, s.stream_version) for s in log] == [(s.event, s.stream_version) for s in await memory.read(0)]
        assert_versions_contiguous(list(log))
