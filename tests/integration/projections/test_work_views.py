"""The read models of the VerMAS families on a real PostgreSQL: kept, rebuilt to the same bytes, asked for, private."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.domains.discovery import installed
from agentplane.domains.registry import Registry
from agentplane.domains.work import DOMAIN
from agentplane.domains.work.projections.work_items import WORK_ITEMS
from agentplane.domains.work.tests.streams_of_events import folded, happened
from agentplane.domains.work.tests.test_projections import SLOT, STORY
from agentplane.errors import NotFound, Refused
from agentplane.events.model import Append, Event
from agentplane.history.places import Place
from agentplane.projections.status import Rebuilt
from agentplane.queries.server import QueryServer
from agentplane.queries.views import ViewAnswers, ViewClient, ViewGet, ViewsCount, ViewsList
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT
from agentplane.store.view_reader import ViewReader
from agentplane.store.view_rows import ViewRows
from agentplane.store.views import ViewStore
from tests.postgres import Database

REGISTRY = Registry((DOMAIN,))
MORE = tuple(happened("mail.sent", 100 + n, message_id=f"x{n}", to=f"box-{n % 3}", subject="s") for n in range(7))
RIVAL = replace(
    happened("work_order.created", 1, work_order_id="wo-rival", title="theirs"),
    stream=replace(happened("work_order.created", 1, work_order_id="wo-rival", title="t").stream, tenant="rival"),
)


async def record(store: PostgresEventStore, events: tuple[Event, ...]) -> None:
    for event in events:
        await store.append(Append(stream=event.stream, expected_version=None, events=(event,)))


@pytest.fixture
async def work(database: Database) -> AsyncIterator[ViewStore]:
    opened = ViewStore(database.conninfo(PROJECT), tuple(REGISTRY.projections.values()), batch=4)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def bus(store: PostgresEventStore, work: ViewStore, reader: ViewReader) -> AsyncIterator[MemoryBus]:
    async def rebuild(name: str | None) -> tuple[Rebuilt, ...]:
        return tuple([await work.rebuild(each) for each in ([name] if name else work.names)])

    await record(store, (*STORY, *MORE, RIVAL))
    await work.catch_up()
    bus, log = MemoryBus(), LogQueries(reader)
    await QueryServer(bus, reader, log, rebuild, domains=ViewAnswers(REGISTRY, ViewRows(reader), log)).start()
    yield bus
    await bus.close()


@pytest.fixture
def acme(bus: MemoryBus) -> ViewClient:
    return ViewClient(bus, "acme")


async def test_all_are_rebuilt_to_the_same_bytes_and_a_shuffled_history_gives_the_same_rows(
    store: PostgresEventStore, work: ViewStore, reader: ViewReader
) -> None:
    events = list(STORY)
    random.Random(7).shuffle(events)  # noqa: S311 - an order, not a secret
    await record(store, (*events, *events[:5]))  # repeated ones are stored once
    await work.catch_up()
    for name in work.names:
        rebuilt = await work.rebuild(name)
        assert rebuilt.equal
        assert rebuilt.rows > 0
    rows = await ViewRows(reader).page("acme", WORK_ITEMS, where={}, after=("", ""), limit=10)
    assert [msgspec.json.decode(row[2], type=WORK_ITEMS.type) for row in rows] == [folded(WORK_ITEMS, STORY)["wo-1"]]


async def test_rows_are_listed_in_pages_and_narrowed_by_fields(acme: ViewClient) -> None:
    first = await acme.page(ViewsList(view="messages", limit=5))
    rest = await acme.page(ViewsList(view="messages", limit=5, after=first.next or ("", "")))
    names = [msgspec.json.decode(row)["name"] for row in (*first.rows, *rest.rows)]
    assert names == ["m-1", *(f"x{n}" for n in range(7))]
    assert rest.next is None
    wish = ViewsList(view="messages", where={"recipient": "box-0", "state": "unread"})
    assert [msgspec.json.decode(row)["name"] for row in (await acme.page(wish)).rows] == ["x0", "x3", "x6"]


async def test_mailboxes_are_counted_in_pages(acme: ViewClient) -> None:
    first = await acme.counts(ViewsCount(view="mailboxes", limit=3))
    assert {each.name: each.counts for each in first.groups} == {
        "box-0": {"unread": 3},
        "box-1": {"unread": 2},
        "box-2": {"unread": 2},
    }
    rest = await acme.counts(ViewsCount(view="mailboxes", limit=3, after=first.next or ""))
    assert [(each.name, each.counts) for each in rest.groups] == [("qa", {"read": 1})]
    assert rest.next is None


async def test_rules_are_counted_by_how_they_stand(acme: ViewClient) -> None:
    (rule,) = (await acme.counts(ViewsCount(view="rules"))).groups
    assert (rule.name, rule.counts) == ("DOC-001", {"passed": 1})


@pytest.mark.parametrize("sequence", [2, 7, 22, len(STORY) + len(MORE) + 1])
async def test_how_they_were_is_a_fresh_fold_up_to_there(acme: ViewClient, sequence: int) -> None:
    found = await acme.one(ViewGet(view="workitem", name="wo-1", at=Place(sequence=sequence)))
    expected = folded(WORK_ITEMS, STORY[:sequence])["wo-1"]
    assert found == msgspec.json.decode(msgspec.json.encode(expected))


async def test_the_past_is_listed_counted_and_narrowed_as_the_present(acme: ViewClient) -> None:
    now = Place(sequence=10_000)
    for wish in (ViewsList(view="agents"), ViewsList(view="messages", limit=3, where={"recipient": "box-1"})):
        assert await acme.page(wish) == await acme.page(replace(wish, at=now))
    count = ViewsCount(view="mailboxes", limit=2, after="box-0")
    assert await acme.counts(count) == await acme.counts(replace(count, at=now))


async def test_another_tenant_sees_nothing_of_them(bus: MemoryBus) -> None:
    rival = ViewClient(bus, "rival")
    for at in (None, Place(sequence=10_000)):
        assert [
            msgspec.json.decode(row)["name"] for row in (await rival.page(ViewsList(view="workitems", at=at))).rows
        ] == ["wo-rival"]
        assert (await rival.counts(ViewsCount(view="mailboxes", at=at))).groups == ()
        with pytest.raises(NotFound, match=SLOT):
            await rival.one(ViewGet(view="agents", name=SLOT, at=at))


async def test_a_projection_that_no_view_shows_can_be_read_by_its_name(acme: ViewClient) -> None:
    page = await acme.page(ViewsList(view="projection/work_rules"))
    assert [msgspec.json.decode(row)["name"] for row in page.rows] == ["DOC-001/wo-1"]


async def test_questions_that_cannot_be_answered_say_why(acme: ViewClient) -> None:
    with pytest.raises(NotFound, match="no view"):
        await acme.page(ViewsList(view="projection/runs"))
    with pytest.raises(NotFound, match="no view"):
        await acme.page(ViewsList(view="work_items"))
    with pytest.raises(Refused, match="no field"):
        await acme.page(ViewsList(view="workitems", where={"status' OR true": "x"}))
    with pytest.raises(Refused, match="not summed up"):
        await acme.counts(ViewsCount(view="agents"))


def test_the_domain_is_installed() -> None:
    assert {"work_items", "work_agents"} <= installed().registry.projections.keys()


async def test_events_that_concern_nobody_move_all_on_and_two_projectors_agree(
    store: PostgresEventStore, work: ViewStore, database: Database
) -> None:
    foreign = tuple(happened("invoice.paid", n, cents=n) for n in range(11))
    other = ViewStore(database.conninfo(PROJECT), tuple(REGISTRY.projections.values()), batch=3)
    try:
        await record(store, foreign)
        await work.catch_up()
        await other.catch_up()
        await record(store, (*STORY, happened("invoice.paid", 99, cents=99)))
        await asyncio.gather(work.catch_up(), other.catch_up())
        head = len(foreign) + len(STORY) + 1
        assert {(each.position, each.lag) for each in await work.status()} == {(head, 0)}
        assert all([(await other.rebuild(name)).equal for name in other.names])
    finally:
        await other.close()


async def test_a_tenant_stops_nobody_by_names_that_a_database_cannot_hold(
    store: PostgresEventStore, work: ViewStore, reader: ViewReader
) -> None:
    odd = [
        replace(happened(type_, 900 + n, **data), stream=replace(RIVAL.stream, name=f"odd-{n}"))
        for n, (type_, data) in enumerate(
            [
                ("mail.sent", {"message_id": "a\0b", "to": "c\0d", "subject": "s\0"}),
                ("mail.sent", {"message_id": "plain", "to": "c", "subject": "s\0"}),
                ("agent.started", {"agent": "a\0b"}),
                ("work_order.created", {"work_order_id": "w\0o", "title": "t"}),
            ]
        )
    ]
    await record(store, (*odd, *STORY))
    await work.catch_up()
    assert not any(each.poison for each in await work.status())
    rows = ViewRows(reader)
    assert await rows.one("acme", WORK_ITEMS, "default", "wo-1") is not None
    for subject, names in (("s", []), ("s\ufffd", ["plain"])):
        messages = REGISTRY.projections["work_messages"]
        found = await rows.page("rival", messages, where={"subject": subject}, after=("", ""), limit=10)
        assert [row[1] for row in found] == names
