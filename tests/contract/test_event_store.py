"""One contract, two stores: agentplane.ports.EventStore over memory and over PostgreSQL."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from agentplane.clock import EARLIEST
from agentplane.errors import Conflict, Refused
from agentplane.events.model import Append, Event, Phase, StreamId
from agentplane.ids import EventId
from agentplane.ports import EventStore
from agentplane.store.memory import MemoryEventStore
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.prepare import MAX_DATA_BYTES
from agentplane.store.roles import APPEND

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)


class FixedClock:
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


def stream(name: str = "one", tenant: str = "acme") -> StreamId:
    return StreamId(tenant, "Run", "default", name)


def event(at: StreamId | None = None, **changes: Any) -> Event:
    base = Event(
        id=EventId(uuid.uuid4()),
        stream=at or stream(),
        phase=Phase.FACT,
        type="run.placed",
        actor="controller:runs",
        time=NOW,
        correlation_id=uuid.uuid4(),
        data={"executor": "exec-1", "epoch": 1, "reasons": ["ok", None, True], "nested": {"ü": "é"}},
    )
    return msgspec.structs.replace(base, **changes)


def append(*events: Event, expected: int | None = None) -> Append:
    return Append(stream=events[0].stream, expected_version=expected, events=events)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest, clock: FixedClock) -> AsyncIterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore(clock=clock, poll_s=0.05)
        return
    database = request.getfixturevalue("database")
    async with await PostgresEventStore.open(database.conninfo(APPEND), clock=clock, poll_s=0.05) as opened:
        yield opened


async def test_an_empty_log_has_head_0_and_nothing_to_read(store: EventStore) -> None:
    assert await store.head() == 0
    assert await store.read(0) == ()
    assert await store.read_stream(stream()) == ()


async def test_what_is_appended_is_read_back_equal_with_its_place(store: EventStore) -> None:
    cause = uuid.uuid4()
    first = event(causation_id=cause, phase=Phase.INTENT, type_version=3)
    (stored,) = await store.append(append(first, expected=0))
    assert (stored.sequence, stored.stream_version, stored.recorded_at) == (1, 1, NOW)
    assert stored.event == first
    assert await store.read(0) == (stored,)
    assert await store.read_stream(stream()) == (stored,)


async def test_sequences_and_stream_versions_are_contiguous(store: EventStore) -> None:
    for name in ("one", "two", "one"):
        await store.append(append(event(stream(name)), event(stream(name))))
    log = await store.read(0)
    assert [s.sequence for s in log] == [1, 2, 3, 4, 5, 6]
    assert [s.stream_version for s in await store.read_stream(stream("one"))] == [1, 2, 3, 4]
    assert [s.stream_version for s in await store.read_stream(stream("one"), after_version=3)] == [4]
    assert [s.sequence for s in await store.read(2, limit=3)] == [3, 4, 5]


async def test_a_stale_expected_version_conflicts_and_stores_nothing(store: EventStore) -> None:
    await store.append(append(event(), expected=0))
    with pytest.raises(Conflict) as caught:
        await store.append(append(event(), expected=0))
    assert caught.value.code == "store.version"
    assert "version 1" in caught.value.message
    assert await store.head() == 1


async def test_several_streams_are_appended_together_or_not_at_all(store: EventStore) -> None:
    one, two = event(stream("one")), event(stream("two"))
    await store.append(append(one, expected=0), append(two, expected=0))
    with pytest.raises(Conflict):
        await store.append(append(event(stream("one")), expected=1), append(event(stream("two")), expected=0))
    assert await store.head() == 2
    assert len(await store.read_stream(stream("one"))) == 1


async def test_two_appends_to_one_stream_in_one_call_follow_each_other(store: EventStore) -> None:
    stored = await store.append(append(event(), expected=0), append(event(), event(), expected=1))
    assert [s.stream_version for s in stored] == [1, 2, 3]


async def test_an_append_without_events_checks_a_version(store: EventStore) -> None:
    await store.append(append(event(stream("guard")), expected=0))
    guard = Append(stream=stream("guard"), expected_version=1, events=())
    await store.append(guard, append(event()))
    with pytest.raises(Conflict):
        await store.append(msgspec.structs.replace(guard, expected_version=0), append(event()))
    assert await store.append() == ()
    assert await store.head() == 2


async def test_the_same_event_again_succeeds_with_the_first_row(store: EventStore, clock: FixedClock) -> None:
    first = event()
    (stored,) = await store.append(append(first, expected=0))
    clock.moment += timedelta(seconds=9)
    later = msgspec.structs.replace(first, time=clock.moment)  # the same decision, taken again after a crash
    assert await store.append(append(later, expected=0)) == (stored,)
    assert await store.append(append(first)) == (stored,)
    assert await store.head() == 1


async def test_the_same_event_twice_in_one_call_is_one_row(store: EventStore) -> None:
    once = event()
    stored = await store.append(append(once, once, expected=0))
    assert [s.sequence for s in stored] == [1, 1]
    assert await store.head() == 1


async def test_a_call_that_was_stored_in_part_is_completed(store: EventStore) -> None:
    first, second = event(), event()
    await store.append(append(first, expected=0))
    stored = await store.append(append(first, second, expected=0))
    assert [s.stream_version for s in stored] == [1, 2]
    with pytest.raises(Conflict):
        await store.append(append(first, event(), expected=0))


async def test_a_known_id_with_another_body_conflicts_and_shows_both_digests(store: EventStore) -> None:
    first = event()
    await store.append(append(first))
    for other in (
        msgspec.structs.replace(first, data={"executor": "exec-2"}),
        msgspec.structs.replace(first, actor="user:mallory"),
        msgspec.structs.replace(first, stream=stream("two")),
    ):
        with pytest.raises(Conflict) as caught:
            await store.append(append(other))
        assert caught.value.code == "store.duplicate-id"
        assert caught.value.message.count("sha256:") == 2
    assert await store.head() == 1


async def test_the_order_of_keys_is_not_part_of_the_body(store: EventStore) -> None:
    first = event(data={"a": 1, "b": 2})
    await store.append(append(first))
    await store.append(append(msgspec.structs.replace(first, data={"b": 2, "a": 1})))
    assert await store.head() == 1


async def test_of_many_concurrent_calls_only_the_conflicting_ones_fail(store: EventStore) -> None:
    taken = event(stream("taken"))
    await store.append(append(taken))
    calls = [store.append(append(event(stream(f"s{n}")), expected=n % 3 == 1)) for n in range(60)]
    calls.append(store.append(append(taken)))
    calls.append(store.append(append(msgspec.structs.replace(taken, data={"other": "body"}))))
    results = await asyncio.gather(*calls, return_exceptions=True)
    codes = [r.code if isinstance(r, Conflict) else "ok" for r in results]
    assert codes[:60] == ["store.version" if n % 3 == 1 else "ok" for n in range(60)]
    assert codes[60:] == ["ok", "store.duplicate-id"]
    assert [s.sequence for s in await store.read(0)] == list(range(1, 42))


async def test_of_racing_calls_for_one_version_exactly_one_wins(store: EventStore) -> None:
    results = await asyncio.gather(
        *(store.append(append(event(), expected=0)) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, tuple) for result in results) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert await store.head() == 1


async def test_the_same_event_in_concurrent_calls_is_one_row(store: EventStore) -> None:
    once = event()
    results = await asyncio.gather(*(store.append(append(once, expected=0)) for _ in range(20)))
    assert {result[0].sequence for result in results} == {1}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"data": {"note": "-----BEGIN OPENSSH PRIVATE KEY-----"}}, "store.secret"),
        ({"data": {"db": {"password": "hunter22"}}}, "store.secret"),
        ({"data": {"text": "x" * MAX_DATA_BYTES}}, "store.too-large"),
        ({"data": {"ratio": 0.5}}, "event.data"),
        ({"data": {"big": 2**53}}, "event.data"),
        ({"data": {"text": "\ud800"}}, "event.data"),
        ({"data": []}, "event.data"),
        ({"time": NOW + timedelta(minutes=5, seconds=1)}, "store.future"),
        ({"data": {"log": '{"password": "hunter2hunter2"}'}}, "store.secret"),
        ({"data": {"password": 12345678}}, "store.secret"),
        ({"time": NOW.replace(tzinfo=None)}, "event.time"),
        ({"time": EARLIEST - timedelta(microseconds=1)}, "event.time"),
        ({"actor": "a\x00b"}, "store.name"),
        ({"actor": ""}, "store.name"),
        ({"stream": StreamId("ac.me", "Run", "default", "x")}, "subject.token"),
        ({"type": "Run Placed"}, "subject.type"),
        ({"type_version": 0}, "store.name"),
    ],
)
async def test_what_may_not_be_stored_is_refused_before_it_is(
    store: EventStore, changes: dict[str, Any], code: str
) -> None:
    with pytest.raises(Refused) as caught:
        await store.append(append(event(stream("fine"))), append(event(**changes)))
    assert caught.value.code == code
    assert not any(secret in str(caught.value) for secret in ("hunter2", "12345678"))
    assert await store.head() == 0


async def test_an_event_of_another_stream_is_refused(store: EventStore) -> None:
    with pytest.raises(Refused) as caught:
        await store.append(Append(stream=stream("one"), expected_version=None, events=(event(stream("two")),)))
    assert caught.value.code == "store.stream"


async def test_nul_in_data_survives(store: EventStore) -> None:
    odd = event(data={"text": "a\x00\x1f\u2028\x7f\U0001f600"})
    await store.append(append(odd))
    assert (await store.read(0))[0].event.data == odd.data


async def test_one_event_and_many_are_stored_alike(store: EventStore) -> None:
    moments = (EARLIEST, datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), NOW)
    zone = timezone(timedelta(hours=-7))
    odd = [
        event(stream(f"größe {place}"), time=moment.astimezone(zone) if place else moment, causation_id=cause)
        for place, moment in enumerate(moments)
        for cause in (None, uuid.uuid4())
    ]
    await store.append(append(odd[0]))
    await store.append(*(append(each) for each in odd[1:]))
    assert [s.event for s in await store.read(0)] == odd


async def test_recorded_at_never_goes_back(store: EventStore, clock: FixedClock) -> None:
    await store.append(append(event()))
    clock.moment -= timedelta(hours=1)
    await store.append(append(event(time=clock.moment)))
    assert [s.recorded_at for s in await store.read(0)] == [NOW, NOW]


async def test_wakeups_follow_appends_and_polls(store: EventStore) -> None:
    wakeups = store.wakeups()
    async with asyncio.timeout(30):
        await anext(wakeups)
        await anext(wakeups)  # nothing happened: the poll
        await store.append(append(event()))
        while not await store.read(0):
            await anext(wakeups)
    await wakeups.aclose()  # type: ignore[attr-defined]


async def test_events_are_found_by_their_ids_in_order(store: EventStore) -> None:
    told = await store.append(
        append(event(stream("a")), event(stream("a"))), append(event(stream("b", tenant="globex")))
    )
    ids = [each.event.id for each in told]
    assert await store.find(ids[2], uuid.uuid4(), ids[0]) == (told[0], told[2])
    assert await store.find() == ()
