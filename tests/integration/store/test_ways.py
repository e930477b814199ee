"""The ways an append may take, by size and by company: all end in the same rows, or in the same error and no row."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentplane.errors import Conflict, Refused, Transient
from agentplane.events.model import Append, Event, Phase, StoredEvent
from agentplane.store.batch import BatchWriter
from agentplane.store.entry import Call
from agentplane.store.lane import Lane
from agentplane.store.pace import Pace
from agentplane.store.postgres import LARGE_EVENTS, PostgresEventStore
from agentplane.store.roles import APPEND
from agentplane.store.wire import Copy
from tests.contract.test_event_store import append, event, stream
from tests.postgres import Database

MANY = LARGE_EVENTS + 200  # more than two statements


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    async with await PostgresEventStore.open(database.conninfo(APPEND), poll_s=0.05, patience_s=0.2) as opened:
        yield opened


def odd_event(number: int, name: str = "odd") -> Event:
    """Every column at an edge of its type."""
    return event(
        stream(name, tenant="t" * 40),
        phase=(Phase.INTENT, Phase.INTERNAL, Phase.FACT)[number % 3],
        type="run.requested" if number % 3 == 0 else "run.placed",
        type_version=2**31 - 1 if number % 2 else 1,
        actor="user:Zoë 🦊" if number % 2 else "u",
        time=datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC) - timedelta(days=number * 300),
        causation_id=None if number % 2 else uuid.UUID(int=2**128 - 1),
        data={"": "\x00\u2028", "n": [-(2**53) + 1, 2**53 - 1, None, True], "deep": {"ü": {"é": {}}}} if number else {},
    )


async def ways(store: PostgresEventStore) -> list[tuple[StoredEvent, ...]]:
    """The same kinds of events by the long way, the lane, a group and a large call."""
    found = [await store.append(append(odd_event(0)))]
    found += [await store.append(append(odd_event(number))) for number in range(1, 7)]
    found += await asyncio.gather(*(store.append(append(odd_event(number))) for number in range(40)))
    found.append(await store.append(append(*(odd_event(number) for number in range(MANY)))))
    return found


async def test_every_way_stores_what_was_given(store: PostgresEventStore) -> None:
    stored = [each for call in await ways(store) for each in call]
    log = await store.read(0)
    assert sorted(stored, key=lambda each: each.sequence) == list(log)
    assert [each.sequence for each in log] == list(range(1, len(log) + 1))
    assert [each.stream_version for each in log] == list(range(1, len(log) + 1))


async def test_one_caller_alone_takes_the_lane(store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    send = Lane.send

    def counting(*arguments: Any) -> bool:
        taken.append(send(*arguments))
        return taken[-1]

    monkeypatch.setattr(Lane, "send", counting)
    for version in range(10):
        await store.append(append(event(), expected=version))
    assert sum(taken) >= 8  # the first ones find out where the log ends, and prepare the statement


async def test_the_lane_leaves_conflicts_and_repetitions_to_the_long_way(store: PostgresEventStore) -> None:
    calls = [append(event(), expected=version) for version in range(4)]
    stored = [await store.append(call) for call in calls]
    assert [await store.append(call) for call in calls] == stored  # versions are stale, ids are known
    again = append(*(calls[3].events), expected=4)
    assert await store.append(again) == stored[3]
    with pytest.raises(Conflict) as caught:
        await store.append(append(event(), expected=3))
    assert caught.value.code == "store.version"
    assert await store.head() == 4


async def test_two_stores_alone_at_the_same_time_never_overwrite_each_other(database: Database) -> None:
    conninfo = database.conninfo(APPEND)
    async with await PostgresEventStore.open(conninfo) as one, await PostgresEventStore.open(conninfo) as two:
        for turn in range(60):
            await (one, two)[turn // 3 % 2].append(append(event(stream(f"s{turn % 4}"))))
        log = await one.read(0)
    assert [each.sequence for each in log] == list(range(1, 61))


async def test_a_connection_that_ends_under_the_lane_costs_nothing(
    store: PostgresEventStore, database: Database
) -> None:
    calls = [append(event(), expected=version) for version in range(12)]
    for number, call in enumerate(calls):
        if number % 4 == 3:
            terminate(database)
        while True:
            try:
                await store.append(call)
            except Transient:
                continue
            break
    assert [each.event.id for each in await store.read(0)] == [call.events[0].id for call in calls]


@pytest.mark.parametrize("bad", [0, 64, MANY - 1])
async def test_a_large_call_that_is_refused_anywhere_leaves_nothing(store: PostgresEventStore, bad: int) -> None:
    await store.append(append(event(stream("before"))))
    events = [event(stream("large")) for _ in range(MANY)]
    events[bad] = event(stream("large"), data={"password": "hunter2hunter2"})
    with pytest.raises(Refused) as caught:
        await store.append(append(*events))
    assert caught.value.code == "store.secret"
    assert await store.head() == 1
    assert await store.read_stream(stream("large")) == ()
    good = [event(stream("large")) for _ in range(MANY)]
    stored = await store.append(append(*good, expected=0))
    assert [each.sequence for each in stored] == list(range(2, MANY + 2))


async def test_a_large_call_conflicts_or_is_found_again_as_a_small_one(store: PostgresEventStore) -> None:
    await store.append(append(event()))
    call = append(*(event() for _ in range(MANY)), expected=1)
    stored = await store.append(call)
    assert await store.append(call) == stored
    with pytest.raises(Conflict) as caught:
        await store.append(append(*(event() for _ in range(MANY)), expected=1))
    assert caught.value.code == "store.version"
    other = append(event(), *call.events[1:], event(id=call.events[0].id, data={"other": "body"}))
    with pytest.raises(Conflict) as caught:
        await store.append(other)
    assert caught.value.code == "store.duplicate-id"
    assert await store.head() == MANY + 1


async def test_a_large_call_with_a_stale_second_append_leaves_nothing(store: PostgresEventStore) -> None:
    await store.append(append(event(stream("b"))))
    first = append(*(event(stream("a")) for _ in range(MANY)), expected=0)
    second = Append(stream=stream("b"), expected_version=0, events=(event(stream("b")),))
    with pytest.raises(Conflict):
        await store.append(first, second)
    assert await store.head() == 1


@pytest.mark.parametrize("statement", [1, 2, 3])
async def test_a_backend_that_ends_in_the_middle_of_a_large_call_leaves_all_of_it_or_nothing(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch, statement: int
) -> None:
    await store.append(append(event(stream("before"))))
    send, sends = Copy.send, 0

    def ending(self: Copy, encoded: bytes) -> None:
        nonlocal sends
        sends += 1
        if sends == statement:
            terminate(database)
        send(self, encoded)

    monkeypatch.setattr(Copy, "send", ending)
    call = append(*(event() for _ in range(MANY)), expected=0)
    stored = await store.append(call)  # the store itself came back, and wrote it again
    assert [each.event for each in stored] == list(call.events)
    assert [each.sequence for each in await store.read(1)] == list(range(2, MANY + 2))
    assert sends == statement + 1  # the second time it takes the lock first, and is one statement


async def test_a_large_call_after_a_foreign_append_is_stored_once_and_whole(
    store: PostgresEventStore, database: Database
) -> None:
    await store.append(append(event()))
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as other:
        await other.append(append(event(stream("foreign"))))
    stored = await store.append(append(*(event() for _ in range(MANY)), expected=1))  # its end was old
    assert [each.sequence for each in stored] == list(range(3, MANY + 3))
    assert [each.stream_version for each in await store.read_stream(stream())] == list(range(1, MANY + 2))


async def test_a_group_with_one_stale_caller_costs_nobody_else(store: PostgresEventStore) -> None:
    for name in ("a", "b", "c"):
        await store.append(append(event(stream(name))))
    calls = [append(event(stream("abc"[n % 3])), expected=99 if n == 20 else None) for n in range(40)]
    answers = await asyncio.gather(*map(store.append, calls), return_exceptions=True)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)] == [20]
    assert isinstance(answers[20], Conflict)
    assert answers[20].code == "store.version"
    assert await store.head() == 3 + 39


async def test_the_same_call_twice_in_a_group_is_stored_once(store: PostgresEventStore) -> None:
    await store.append(append(event()))
    calls = [append(event()) for _ in range(20)]
    answers = await asyncio.gather(*map(store.append, (*calls, *calls)))
    assert answers[:20] == answers[20:]
    assert await store.head() == 21


async def test_batches_that_follow_each_other_closely_keep_order_whatever_comes_between(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is asked to prepare for the next batch while the one before is being noted."""
    monkeypatch.setattr(Pace, "overlaps", property(lambda pace: pace._calls >= 4))
    prepared: list[bool] = []
    expect = BatchWriter._expect

    def counting(self: BatchWriter, connection: Any, calls: Sequence[Call]) -> None:
        expect(self, connection, calls)
        prepared.append(self._asked is not None)

    monkeypatch.setattr(BatchWriter, "_expect", counting)
    names = [f"p{number}" for number in range(40)]

    async def produce(store: PostgresEventStore, name: str) -> int:
        """How many of 30 appends, two of them stale, were conflicts."""
        calls = [append(event(stream(name)), expected=77 if n % 11 == 10 else None) for n in range(30)]
        return sum([isinstance(await outcome(store, call), Conflict) for call in calls])

    conninfo = database.conninfo(APPEND)
    async with await PostgresEventStore.open(conninfo) as store, await PostgresEventStore.open(conninfo) as other:
        await asyncio.gather(*(store.append(append(event(stream(name)))) for name in names))
        producing = asyncio.gather(*(produce(store, name) for name in names))
        for number in range(6):
            await other.append(append(event(stream("foreign"))))
            if number == 3:
                terminate(database)
        assert await producing == [2] * 40
        log = await store.read(0, 10_000)
    assert any(prepared)
    assert [each.sequence for each in log] == list(range(1, len(log) + 1))
    for name in names:
        versions = [each.stream_version for each in log if each.event.stream == stream(name)]
        assert versions == list(range(1, 30))


async def outcome(store: PostgresEventStore, call: Append) -> object:
    """What became of a call."""
    try:
        return await store.append(call)
    except Conflict as exc:
        return exc


async def test_callers_that_go_away_do_not_stop_the_others(store: PostgresEventStore) -> None:
    await store.append(append(event()))
    tasks = [asyncio.create_task(store.append(append(event(stream(f"s{n}"))))) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    alone = asyncio.create_task(store.append(append(event(stream("alone")))))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.gather(alone, return_exceptions=True)
    (last,) = await store.append(append(event()))
    log = await store.read(0)
    assert [each.sequence for each in log] == list(range(1, last.sequence + 1))


def terminate(database: Database) -> None:
    with database.cluster.superuser() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
            [APPEND, database.name],
        )


class Clocks:
    """A wall clock and a thread's clock that move as told."""

    def __init__(self) -> None:
        self.wall = self.worked = 0.0

    def pass_(self, seconds: float, share: float) -> None:
        self.wall += seconds
        self.worked += seconds * share


def paced(share: float, calls: int) -> Pace:
    clocks = Clocks()
    pace = Pace(lambda: clocks.wall, lambda: clocks.worked)
    for _ in range(50):
        pace.share(calls, 0)
        clocks.pass_(0.001, share)
        pace.committed()
    return pace


def test_a_busy_client_overlaps_and_takes_half() -> None:
    pace = paced(0.8, 64)
    assert pace.overlaps
    assert pace.share(32, 32) == 32
    assert pace.share(64, 0) == 32


def test_a_slow_disk_or_few_callers_do_not() -> None:
    assert not paced(0.1, 64).overlaps
    few = paced(0.8, 8)
    assert not few.overlaps
    assert few.share(8, 0) == 8


def test_a_pause_says_nothing_about_who_is_slow() -> None:
    clocks = Clocks()
    pace = Pace(lambda: clocks.wall, lambda: clocks.worked)
    for _ in range(50):
        pace.share(64, 0)
        pace.paused()
        clocks.pass_(10, 0.0)
        pace.committed()  # the first after a pause is not counted
        clocks.pass_(0.001, 0.9)
        pace.committed()
    assert pace.overlaps
