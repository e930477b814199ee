"""The log's own answers from a real PostgreSQL: held against the same questions asked of a list."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.errors import NotFound, Refused
from agentplane.events.model import Append, Event, Phase, StoredEvent, StreamId
from agentplane.history.filters import EventFilter
from agentplane.history.places import Place
from agentplane.ids import EventId
from agentplane.projections.engine import EXECUTORS, RUNS, fold
from agentplane.projections.run_view import summary_of
from agentplane.queries import protocol as wire
from agentplane.queries.client import QueryClient
from agentplane.queries.server import QueryServer
from agentplane.runs.states import Outcome
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.unit.history.memory_log import MemoryLog
from tests.unit.projections.histories import EPOCH, Log

NAMES = ["audit-1", "audit-2", "build-1"]


@pytest.fixture
async def history(store: PostgresEventStore, views: ViewStore) -> tuple[StoredEvent, ...]:
    """Two tenants' runs and an executor, as the store has numbered and timed them."""
    log = Log()
    log.executor("exec-1")
    for name, outcome in zip(NAMES, (Outcome.EXITED, None, Outcome.TIMEOUT), strict=True):
        log.run(name, outcome=outcome)
        log.run(f"secret-{name}", tenant="rival", outcome=outcome)
    await record(store, log.stored)
    await views.catch_up()
    return await store.read(0)


@pytest.fixture
def queries(reader: ViewReader) -> LogQueries:
    return LogQueries(reader)


@pytest.fixture
async def acme(history: tuple[StoredEvent, ...], reader: ViewReader, queries: LogQueries) -> AsyncIterator[QueryClient]:
    async def rebuild(_: str | None) -> Any:
        raise NotImplementedError

    bus = MemoryBus()
    await QueryServer(bus, reader, queries, rebuild).start()
    yield QueryClient(bus, "acme")
    await bus.close()


WISHES = [
    EventFilter(),
    EventFilter(type="run.*"),
    EventFilter(type="*.?reated"),
    EventFilter(actor="executor:*", kind="Run"),
    EventFilter(kind="Run", name="audit-1"),
    EventFilter(name="secret-audit-1"),
    EventFilter(namespace="default", kind="Run"),
    EventFilter(namespace="elsewhere"),
    EventFilter(phase=Phase.INTENT),
    EventFilter(type="run_placed"),
    EventFilter(actor="user:%"),
]


@pytest.mark.parametrize("wish", WISHES)
async def test_every_page_is_what_a_list_answers(
    wish: EventFilter, history: tuple[StoredEvent, ...], queries: LogQueries
) -> None:
    reference = MemoryLog(history)
    for tenant, after, limit, newest in product(["acme", "rival", "nobody"], [0, 5, 99], [1, 4, 50], [False, True]):
        asked: dict[str, Any] = {"after": after, "upto": len(history) - 3, "limit": limit, "newest": newest}
        assert await queries.events(tenant, wish, **asked) == await reference.events(tenant, wish, **asked)


async def test_a_correlation_finds_its_events(history: tuple[StoredEvent, ...], queries: LogQueries) -> None:
    wish = EventFilter(correlation=history[4].event.correlation_id)
    reference = MemoryLog(history)
    tenant = history[4].event.stream.tenant
    found, _ = await queries.events(tenant, wish, after=0, upto=len(history), limit=100)
    assert (found, False) == await reference.events(tenant, wish, after=0, upto=len(history), limit=100)
    assert len(found) > 1


async def test_causes_find_their_effects(
    history: tuple[StoredEvent, ...], store: PostgresEventStore, queries: LogQueries
) -> None:
    stream = StreamId("acme", "Thing", "default", "effect")
    causes = [history[0].event.id, history[1].event.id, history[0].event.id]
    effects = tuple(
        replace(_big(stream, number, 1), causation_id=cause, correlation_id=uuid.UUID(int=number))
        for number, cause in enumerate(causes, start=90_000)
    )
    await store.append(Append(stream=stream, expected_version=0, events=effects))
    reference = MemoryLog(await store.read(0))
    for tenant, wanted in product(["acme", "rival"], [(causes[0],), (causes[1], uuid.UUID(int=5)), ()]):
        wish = EventFilter(causes=wanted)
        asked: dict[str, Any] = {"after": 0, "upto": len(history) + 3, "limit": 100}
        assert await queries.events(tenant, wish, **asked) == await reference.events(tenant, wish, **asked)
    found, _ = await queries.events("acme", EventFilter(causes=(causes[0],)), after=0, upto=99_999, limit=100)
    assert [each.event for each in found] == [effects[0], effects[2]]


@pytest.mark.parametrize("by", ["type", "kind", "phase", "actor", "name"])
async def test_counts_are_what_a_list_counts(by: str, history: tuple[StoredEvent, ...], queries: LogQueries) -> None:
    asked: dict[str, Any] = {"after": 3, "upto": len(history) - 1, "by": by, "limit": 3}
    reference = MemoryLog(history)
    assert await queries.count("acme", EventFilter(), **asked) == await reference.count("acme", EventFilter(), **asked)


async def test_a_moment_is_the_last_sequence_recorded_at_or_before_it(
    history: tuple[StoredEvent, ...], queries: LogQueries
) -> None:
    reference = MemoryLog(history)
    moments = {EPOCH, *(each.recorded_at for each in history), history[-1].recorded_at + timedelta(days=1)}
    for moment in (m + timedelta(microseconds=off) for m in moments for off in (-1, 0, 1)):
        for inclusive in (True, False):
            found = await queries.sequence_at(moment, inclusive=inclusive)
            assert found == await reference.sequence_at(moment, inclusive=inclusive)


async def test_an_empty_log_has_no_moment(store: PostgresEventStore, queries: LogQueries) -> None:
    assert await queries.sequence_at(EPOCH, inclusive=True) == 0
    assert await queries.events("acme", EventFilter(), after=0, upto=0, limit=5) == ((), False)


async def test_a_page_ends_where_its_bytes_do_and_goes_on_after(store: PostgresEventStore, reader: ViewReader) -> None:
    stream = StreamId("acme", "Thing", "default", "big")
    sizes = [10, 5_000, 10, 10, 5_000, 5_000, 10]
    events = tuple(_big(stream, number, size) for number, size in enumerate(sizes))
    await store.append(Append(stream=stream, expected_version=0, events=events))
    queries = LogQueries(reader, max_page_bytes=5_100)
    pages, after, more = [], 0, True
    while more:
        page, more = await queries.events("acme", EventFilter(), after=after, upto=99, limit=4)
        pages.append([len(each.event.data["text"]) for each in page])
        after = page[-1].sequence
    assert pages == [[10, 5_000, 10, 10], [5_000], [5_000, 10]]
    newest, more = await queries.events("acme", EventFilter(), after=0, upto=99, limit=4, newest=True)
    assert ([len(each.event.data["text"]) for each in newest], more) == ([5_000, 10], True)


def _big(stream: StreamId, number: int, size: int) -> Event:
    return Event(
        id=EventId(uuid.UUID(int=number + 1)),
        stream=stream,
        phase=Phase.FACT,
        type="thing.grew",
        actor="user:alice",
        time=EPOCH,
        correlation_id=uuid.UUID(int=1),
        data={"text": "x" * size},
    )


async def test_one_event_is_found_by_id_and_by_sequence(history: tuple[StoredEvent, ...], acme: QueryClient) -> None:
    for stored in history:
        # the third is how the attribute `sequence` of an event says it
        for which in (stored.sequence, stored.event.id, f"{stored.sequence:019}", str(stored.event.id).upper()):
            if stored.event.stream.tenant == "acme":
                assert await acme.event(which) == stored
                continue
            with pytest.raises(NotFound) as caught:
                await acme.event(which)
            assert caught.value.code == "event.unknown"


@pytest.mark.parametrize(
    "which", ["", "0", "-1", "99999", "9" * 19, "9" * 40, "nonsense", str(uuid.UUID(int=5)), "' OR true --"]
)
async def test_what_is_no_event_is_not_found(which: str, acme: QueryClient) -> None:
    with pytest.raises(NotFound) as caught:
        await acme.event(which)
    assert caught.value.code == "event.unknown"


async def test_runs_at_every_place_are_a_fresh_fold(history: tuple[StoredEvent, ...], acme: QueryClient) -> None:
    for cut in range(len(history) + 1):
        views = fold(RUNS, {}, history[:cut], 0).changed
        own = [view for (tenant, _), view in views.items() if tenant == "acme"]
        expected = tuple(summary_of(view) for view in sorted(own, key=lambda view: -view.first_sequence))
        assert (await acme.runs(at=Place(sequence=cut))).runs == expected
        for name in NAMES:
            if ("acme", name) in views:
                assert await acme.run(name, at=Place(sequence=cut)) == views["acme", name]
                continue
            with pytest.raises(NotFound):
                await acme.run(name, at=Place(sequence=cut))


async def test_a_time_is_the_place_of_what_was_recorded_by_then(
    history: tuple[StoredEvent, ...], acme: QueryClient
) -> None:
    for stored in history[:: len(history) // 4]:
        last = max(each.sequence for each in history if each.recorded_at <= stored.recorded_at)
        then = await acme.runs(at=Place(time=stored.recorded_at))
        assert then == await acme.runs(at=Place(sequence=last))


async def test_now_is_what_the_read_models_say(acme: QueryClient) -> None:
    for name in NAMES:
        assert await acme.run(name, at=Place(sequence=10_000)) == await acme.run(name)
    assert await acme.executors(at=Place(sequence=10_000)) == await acme.executors()


async def test_executors_at_a_place_are_a_fresh_fold(history: tuple[StoredEvent, ...], acme: QueryClient) -> None:
    for cut in range(4):
        lines = await acme.executors(at=Place(sequence=cut))
        views = fold(EXECUTORS, {}, history[:cut], 0).changed
        assert {line.executor.name: line.executor for line in lines} == {
            name: view for (_, name), view in views.items()
        }


async def test_runs_of_the_past_come_in_pages(acme: QueryClient) -> None:
    at = Place(sequence=10_000)
    first = await acme.runs(limit=2, at=at)
    assert [each.name for each in first.runs] == ["build-1", "audit-2"]
    rest = await acme.runs(limit=2, before=first.next, at=at)
    assert ([each.name for each in rest.runs], rest.next) == (["audit-1"], None)
    assert [each.name for each in (await acme.runs(state="failed", limit=1, at=at)).runs] == ["build-1"]


async def test_another_tenant_s_run_was_never_there(acme: QueryClient) -> None:
    for given in ("secret-audit-1", "secret"):
        with pytest.raises(NotFound):
            await acme.run(given, at=Place(sequence=10_000))
    with pytest.raises(Refused) as caught:
        await acme.run("audit", at=Place(sequence=10_000))
    assert caught.value.code == "run.ambiguous"


async def test_all_events_end_where_the_log_did_when_asked(
    history: tuple[StoredEvent, ...], acme: QueryClient, store: PostgresEventStore
) -> None:
    late = StreamId("acme", "Thing", "default", "late")
    got = []
    async for stored in acme.all_events(wire.EventsList(limit=3)):
        got.append(stored)
        if len(got) == 1:
            await store.append(Append(stream=late, expected_version=0, events=(_big(late, 900, 1),)))
    assert got == [each for each in history if each.event.stream.tenant == "acme"]


async def test_since_and_until_are_inside(history: tuple[StoredEvent, ...], acme: QueryClient) -> None:
    mine = [each for each in history if each.event.stream.tenant == "acme"]
    first, last = mine[2], mine[7]
    for since, until in product(
        (Place(sequence=first.sequence), Place(time=first.recorded_at)),
        (Place(sequence=last.sequence), Place(time=last.recorded_at)),
    ):
        page = await acme.events_page(wire.EventsList(since=since, until=until))
        low = first.sequence if since.time is None else min(e.sequence for e in mine if e.recorded_at >= since.time)
        high = last.sequence if until.time is None else max(e.sequence for e in mine if e.recorded_at <= until.time)
        assert page.events == tuple(each for each in mine if low <= each.sequence <= high)


async def test_a_follower_is_told_how_far_it_has_seen(history: tuple[StoredEvent, ...], acme: QueryClient) -> None:
    page = await acme.events_page(wire.EventsList(type="nothing.like-it"))
    assert (page.events, page.next, page.seen) == ((), None, len(history))


@pytest.mark.parametrize("place", [Place(), Place(sequence=-1)])
async def test_a_place_that_is_none_is_refused(place: Place, acme: QueryClient) -> None:
    with pytest.raises(Refused):
        await acme.events_page(wire.EventsList(since=place))
    with pytest.raises(Refused):
        await acme.runs(at=place)
