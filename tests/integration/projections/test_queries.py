"""Questions over the bus, answered from a real PostgreSQL: exact, bounded, and one tenant at a time."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from agentplane.errors import NotFound, Refused
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import PROJECTIONS, RUNS, fold
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.status import Rebuilt
from agentplane.queries import protocol as wire
from agentplane.queries.client import QueryClient
from agentplane.queries.server import QueryServer
from agentplane.runs.states import Outcome, RunState
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.unit.projections.histories import Log, envelope

NAMES = ["audit-1", "audit-2", "build-1"]


@pytest.fixture
def log() -> Log:
    log = Log()
    log.executor("exec-1")
    for name in NAMES:
        log.run(name)
    log.run("build-1", tenant="rival", outcome=Outcome.TIMEOUT)
    log.run("secret-plan", tenant="rival")
    return log


@pytest.fixture
async def bus(log: Log, store: PostgresEventStore, views: ViewStore, reader: ViewReader) -> AsyncIterator[MemoryBus]:
    async def rebuild(name: str | None) -> tuple[Rebuilt, ...]:
        return tuple([await views.rebuild(each) for each in ([name] if name else PROJECTIONS)])

    await record(store, log.stored)
    await views.catch_up()
    bus = MemoryBus()
    await QueryServer(bus, reader, LogQueries(reader), rebuild).start()
    yield bus
    await bus.close()


@pytest.fixture
def acme(bus: MemoryBus) -> QueryClient:
    return QueryClient(bus, "acme")


@pytest.fixture
def rival(bus: MemoryBus) -> QueryClient:
    return QueryClient(bus, "rival")


async def test_runs_are_listed_newest_first_in_pages(acme: QueryClient) -> None:
    first = await acme.runs(limit=2)
    assert [each.name for each in first.runs] == ["build-1", "audit-2"]
    rest = await acme.runs(limit=2, before=first.next)
    assert ([each.name for each in rest.runs], rest.next) == (["audit-1"], None)


async def test_a_list_can_be_narrowed(rival: QueryClient) -> None:
    assert [each.name for each in (await rival.runs(state="failed")).runs] == ["build-1"]
    assert (await rival.runs(lane="prod")).runs == ()
    assert len((await rival.runs(executor="exec-1", lane="dev")).runs) == 2


@pytest.mark.parametrize("prefix", ["build-1", "build", "b"])
async def test_a_unique_prefix_is_enough(prefix: str, acme: QueryClient, log: Log) -> None:
    expected = fold(RUNS, {}, log.stored, 0).changed["acme", "build-1"]
    found = await acme.run(prefix)
    assert found.name == expected.name
    assert found.timeline.first[0].summary == expected.timeline.first[0].summary


async def test_an_ambiguous_prefix_lists_candidates(acme: QueryClient) -> None:
    with pytest.raises(Refused) as caught:
        await acme.run("audit")
    assert caught.value.code == "run.ambiguous"
    assert "audit-1, audit-2" in caught.value.message


@pytest.mark.parametrize("given", ["secret-plan", "secret", "nothing", "", "%", "_", "audit%", "' OR true --"])
async def test_another_tenant_s_run_and_nonsense_are_not_found(given: str, acme: QueryClient) -> None:
    with pytest.raises(NotFound) as caught:
        await acme.run(given)
    assert caught.value.code == "run.unknown"
    with pytest.raises(NotFound):
        await acme.evidence(given)
    with pytest.raises(NotFound):
        await anext(acme.logs(given))


async def test_the_same_name_in_two_tenants_is_two_runs(acme: QueryClient, rival: QueryClient) -> None:
    assert (await acme.run("build-1")).state is RunState.SUCCEEDED
    assert (await rival.run("build-1")).state is RunState.FAILED


async def test_evidence_comes_whole_and_in_order(acme: QueryClient) -> None:
    rows = await acme.evidence("audit-2")
    assert [row.kind for row in rows] == ["ValidationArtifact", "PlacementDecision", "RunArtifact"]
    assert rows[0].envelope == envelope("validation of acme/audit-2")
    assert [row.source for row in rows] == ["control", "control", "exec-1"]


async def test_pages_of_evidence_join_to_the_whole(bus: MemoryBus, acme: QueryClient) -> None:
    whole = await acme.evidence("audit-2")
    rows: list[EvidenceRow] = []
    after = 0
    while True:
        wish = msgspec.json.encode(wire.EvidenceGet(run="audit-2", after=after, limit=1))
        raw = await bus.request(subjects.query("acme", wire.EVIDENCE_GET), wish, timeout_s=5)
        answer = msgspec.json.decode(raw, type=wire.Answer)
        page = msgspec.json.decode(answer.ok, type=wire.EvidencePage)
        rows.extend(page.rows)
        if page.next is None:
            break
        after = page.next
    assert tuple(rows) == whole


async def test_events_are_the_tenant_s_own_in_order(acme: QueryClient, store: PostgresEventStore) -> None:
    mine = [each for each in await store.read(0) if each.event.stream.tenant == "acme"]
    got: list[StoredEvent] = []
    after = 0
    while True:
        page, following = await acme.events(after=after, limit=4)
        got.extend(page)
        if following is None:
            break
        after = following
    assert got == mine


@pytest.mark.parametrize(
    ("glob", "expected"),
    [("run.*", 8), ("*.placed", 1), ("run.placed", 1), ("run.?laced", 1), ("run_placed", 0), ("executor.*", 0)],
)
async def test_events_are_filtered_by_a_glob_of_their_type(glob: str, expected: int, acme: QueryClient) -> None:
    page, _ = await acme.events(kind="Run", name="audit-1", type_glob=glob)
    assert len(page) == expected


async def test_a_glob_that_is_none_is_refused(acme: QueryClient) -> None:
    with pytest.raises(Refused) as caught:
        await acme.events(type_glob="run.%'; --")
    assert caught.value.code == "query.glob"


async def test_executors_name_only_the_asker_s_leases(acme: QueryClient, rival: QueryClient) -> None:
    (own,), (foreign,) = await acme.executors(), await rival.executors()
    assert [lease.run for lease in own.executor.leases] == ["r"]
    assert (own.other_leases, foreign.executor.leases, foreign.other_leases) == (0, (), 1)


async def test_projections_tell_how_they_do_and_are_rebuilt(acme: QueryClient) -> None:
    assert {each.projection: each.lag for each in await acme.projections()} == dict.fromkeys(PROJECTIONS, 0)
    assert all(each.equal for each in await acme.rebuild())
    with pytest.raises(NotFound) as caught:
        await acme.rebuild("nonsense")
    assert caught.value.code == "projection.unknown"


async def test_an_answer_waits_for_the_event_that_is_asked_for(
    acme: QueryClient, store: PostgresEventStore, views: ViewStore
) -> None:
    later = Log()
    later.run("fresh")
    stamp = uuid.uuid4()
    for stored in later.stored:
        event = msgspec.structs.replace(stored.event, id=uuid.uuid5(stamp, str(stored.sequence)))
        await record(store, [msgspec.structs.replace(stored, event=event)])
    head = await store.head()
    await views.step("evidence")
    asked = asyncio.ensure_future(acme.run("fresh", min_sequence=head))
    await views.catch_up()
    assert (await asked).last_sequence == head


async def test_console_output_is_read_by_run_and_ends_with_it(acme: QueryClient, bus: MemoryBus) -> None:
    for number in range(150):
        await bus.emit(subjects.log("exec-1", "acme", "audit-1"), b"%d\n" % number)
    await bus.emit(subjects.log("exec-1", "acme", "audit-2"), b"not this one")
    got = [chunk async for chunk in acme.logs("audit-1", follow=True)]
    assert b"".join(got) == b"".join(b"%d\n" % number for number in range(150))


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("runs-list", b"nonsense", "query.malformed"),
        ("runs-list", b'{"limit": 0}', "query.limit"),
        ("runs-list", b'{"tenant": "rival"}', "query.version"),
        ("runs-list", b"[" * 60000, "query.malformed"),
        ("runs-list", b" " * 70000, "query.too-large"),
        ("run-get", b"{}", "query.malformed"),
        ("drop-tables", b"{}", "query.unknown"),
    ],
)
async def test_a_bad_question_has_an_answer(name: str, data: bytes, code: str, bus: MemoryBus) -> None:
    raw = await bus.request(subjects.query("acme", name), data, timeout_s=5)
    answer = msgspec.json.decode(raw)
    assert answer["error"]["code"] == code
    assert set(answer) == {"error", "protocol", "version"}
