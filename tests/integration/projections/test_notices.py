"""What answers say of the read models they are from, and how rows of another release are shown: a real PostgreSQL."""

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.domains.views import Grouping, View
from agentplane.errors import NotFound, Transient
from agentplane.events.model import StoredEvent
from agentplane.history.places import Place
from agentplane.intents.runs import run_stream
from agentplane.projections.engine import EVIDENCE, PROJECTIONS, RUNS, Projection
from agentplane.projections.run_view import RunView
from agentplane.projections.status import Rebuilt
from agentplane.queries.client import QueryClient
from agentplane.queries.hearing import listening
from agentplane.queries.server import QueryServer
from agentplane.queries.views import ViewAnswers, ViewClient, ViewGet, ViewsCount, ViewsList
from agentplane.runs import facts
from agentplane.runs.model import Wire
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT, READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.view_rows import ViewRows
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history
from tests.integration.projections.releases import program
from tests.postgres import Database
from tests.unit.projections.histories import Log

Heard = list[dict[str, Any]]


def registry(*projections: Projection) -> Any:
    """Of a domain with these projections, each with a view of its name that sums up by colour."""
    grouping = Grouping(by="colour", count="mood", values=("glad",), rows="notes")
    views = {
        each.name: View(plural=each.name, singular=each.name[:-1], projection=each, columns=(), grouping=grouping)
        for each in projections
    }
    return SimpleNamespace(view=views.get, views=views, projections={each.name: each for each in projections})


async def serve(database: Database, *projections: Projection) -> tuple[MemoryBus, ViewReader]:
    async def rebuild(_: str | None) -> tuple[Rebuilt, ...]:
        return ()

    bus = MemoryBus()
    reader = ViewReader(database.conninfo(READ), projections=(*PROJECTIONS.values(), *projections))
    log = LogQueries(reader)
    answers = ViewAnswers(registry(*projections), ViewRows(reader), log)
    await QueryServer(bus, reader, log, rebuild, domains=answers).start()
    return bus, reader


@pytest.fixture
async def bus(database: Database, views: ViewStore) -> AsyncIterator[MemoryBus]:
    bus, reader = await serve(database)
    yield bus
    await bus.close()
    await reader.close()


async def heard(question: Any) -> tuple[Any, Heard]:
    """An answer (or its error), and what was said beside it."""
    said: Heard = []
    with listening(lambda notices: said.extend(json.loads(notices))):
        try:
            return await question, said
        except (NotFound, Transient) as error:
            return error, said


def change(database: Database, statement: LiteralString) -> None:
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute(statement)


async def test_a_live_read_model_says_nothing(store: PostgresEventStore, views: ViewStore, bus: MemoryBus) -> None:
    await record(store, history().stored)
    await views.catch_up()
    client = QueryClient(bus, "acme")
    for question in (client.runs(), client.run("run-0"), client.executors(), client.evidence("run-0")):
        assert (await heard(question))[1] == []


async def test_one_that_stopped_says_where_and_why_and_only_in_answers_from_it(
    store: PostgresEventStore, views: ViewStore, bus: MemoryBus
) -> None:
    log = Log()
    log.run("good")
    log.add(run_stream("acme", "bad"), facts.STARTED, {"nonsense": True})
    log.run("missing")
    await record(store, log.stored)
    await views.catch_up()
    client = QueryClient(bus, "acme")
    page, said = await heard(client.runs())
    assert [each.name for each in page.runs] == ["good"]
    assert [(each["projection"], each["state"], each["position"]) for each in said] == [("runs", "stopped", 8)]
    assert said[0]["message"].startswith("stopped before event 9: event.payload: ")
    error, said = await heard(client.run("missing"))  # what is not found may only not be there yet
    assert (type(error), error.code, [each["state"] for each in said]) == (NotFound, "run.unknown", ["stopped"])
    assert (await heard(client.executors()))[1] == []
    assert (await heard(client.events()))[1] == []
    assert (await heard(client.run("missing", at=Place(sequence=17))))[1] == []  # from the log itself
    _, said = await heard(QueryClient(bus, "rival").runs())
    assert "nonsense" not in said[0]["message"]
    assert said[0]["message"].endswith("it is not of your tenant; the projector's log says why")


async def test_one_that_is_behind_for_seconds_says_since_when(
    store: PostgresEventStore, views: ViewStore, bus: MemoryBus, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    change(database, "UPDATE views.checkpoints SET position = position - 3 WHERE projection = 'runs'")
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as connection:  # time passes
        connection.execute(
            "CREATE OR REPLACE FUNCTION log.recorded_at(place bigint) RETURNS timestamptz LANGUAGE sql STABLE "
            "SECURITY DEFINER AS $$ SELECT now() - interval '40 s' $$"
        )
    _, said = await heard(QueryClient(bus, "acme").runs())
    assert [(each["state"], each["lag"], each["lagS"]) for each in said] == [("catching up", 3, pytest.approx(40, 0.1))]
    assert said[0]["message"] == "as of event 51, 3 events behind (40 s)"


async def test_one_that_is_upgraded_says_which_version_answers(
    store: PostgresEventStore, reader: ViewReader, database: Database
) -> None:
    await record(store, history().stored)
    async with program(database, EVIDENCE._replace(version=1), RUNS) as old:
        await old.catch_up()
    bus, own = await serve(database)
    page, said = await heard(QueryClient(bus, "acme").evidence("run-0"))
    assert len(page) > 0
    assert [(each["projection"], each["state"], each["version"], each["percent"]) for each in said] == [
        ("evidence", "upgrading", 1, 0)
    ]
    assert said[0]["message"] == (
        "version 2 is built for this release, 0 %; until then version 1 is served, as of event 54"
    )
    async with program(database, EVIDENCE) as new:
        await new.tend()
    await own.close()
    bus, own = await serve(database)
    assert (await heard(QueryClient(bus, "acme").evidence("run-0"))) == (page, [])
    await own.close()


class Note(Wire, frozen=True, kw_only=True):
    """As the release before had it."""

    tenant: str
    kind: str
    namespace: str
    name: str
    events: int = 0


class ColouredNote(Note, frozen=True, kw_only=True):
    """As this release has it: with a default for what older rows lack."""

    colour: str = "grey"
    mood: str = "glad"


class OwnedNote(Note, frozen=True, kw_only=True):
    """As a release has it that cannot read older rows."""

    owner: str


def note_key(stored: StoredEvent) -> tuple[str, ...] | None:
    stream = stored.event.stream
    return (stream.tenant, stream.kind, stream.namespace, stream.name)


def noting(type_: Any, **more: str) -> Any:
    def apply(view: Any, stored: StoredEvent) -> Any:
        tenant, kind, namespace, name = note_key(stored) or ("",) * 4
        count = view.events + 1 if view else 1
        return type_(tenant=tenant, kind=kind, namespace=namespace, name=name, events=count, **more)

    return apply


NOTES_1 = Projection("notes", 1, Note, note_key, noting(Note))
NOTES_2 = Projection("notes", 2, ColouredNote, note_key, noting(ColouredNote, colour="blue"))
NOTES_3 = Projection("notes", 3, OwnedNote, note_key, noting(OwnedNote, owner="ada"))


@pytest.fixture
async def notes(store: PostgresEventStore, database: Database) -> None:
    log = Log()
    for number in range(3):
        log.run(f"run-{number}")
    await record(store, log.stored)
    async with program(database, NOTES_1) as old:
        await old.catch_up()


@pytest.mark.usefixtures("notes")
async def test_rows_of_the_release_before_are_shown_as_this_one_has_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentplane.store.view_rows._PAGE", 2)
    bus, reader = await serve(database, NOTES_2)
    client = ViewClient(bus, "acme")
    for colour, when in (("grey", "before"), ("blue", "after")):
        page, said = await heard(client.page(ViewsList(view="notes")))
        rows = [msgspec.json.decode(each) for each in page.rows]
        assert {(row["colour"], row["mood"]) for row in rows} == {(colour, "glad")}, when
        assert [each["state"] for each in said] == (["upgrading"] if when == "before" else [])
        assert (await client.one(ViewGet(view="notes", name="run-1")))["colour"] == colour
        found = await client.page(ViewsList(view="notes", where={"colour": colour}, limit=2))
        assert [msgspec.json.decode(each)["name"] for each in found.rows] == ["run-0", "run-1"]
        rest = await client.page(
            ViewsList(view="notes", where={"colour": colour}, limit=2, after=found.next or ("", ""))
        )
        assert [msgspec.json.decode(each)["name"] for each in rest.rows] == ["run-2"]
        other = await client.page(ViewsList(view="notes", where={"colour": "red"}))
        assert other.rows == ()
        counted = await client.counts(ViewsCount(view="notes"))
        assert [(each.name, each.counts) for each in counted.groups] == [(colour, {"glad": 3})]
        async with program(database, NOTES_2) as new:
            await new.tend()
        await reader.close()
        bus, reader = await serve(database, NOTES_2)
        client = ViewClient(bus, "acme")
    await reader.close()


@pytest.mark.usefixtures("notes")
@pytest.mark.parametrize("release", [NOTES_3, NOTES_2._replace(readable_from=2)], ids=["cannot", "may-not"])
async def test_rows_that_this_release_cannot_or_may_not_read_are_a_matter_of_time(
    database: Database, release: Projection
) -> None:
    bus, reader = await serve(database, release)
    client = ViewClient(bus, "acme")
    for question in (
        client.page(ViewsList(view="notes")),
        client.page(ViewsList(view="notes", where={"events": "1"})),
        client.one(ViewGet(view="notes", name="run-1")),
    ):
        error, said = await heard(question)
        assert (error.code, str(error)) == (
            "query.rebuilding",
            "the read model notes is being rebuilt for this release, 0 %",
        )
        assert [each["state"] for each in said] == ["upgrading"]
    async with program(database, release) as new:
        await new.tend()
    assert len((await client.page(ViewsList(view="notes"))).rows) == 3
    await reader.close()


@pytest.mark.usefixtures("notes")
async def test_an_older_query_service_says_so_and_a_newer_one_beside_it_answers(database: Database) -> None:
    async with program(database, NOTES_3._replace(readable_from=3)) as new:
        await new.tend()
    old, old_reader = await serve(database, NOTES_1)
    new_bus, new_reader = await serve(database, NOTES_3)
    wish = ViewGet(view="notes", name="run-1")
    error, _ = await heard(ViewClient(old, "acme").one(wish))
    assert error is not None
    assert (type(error), error.code) == (Transient, "query.outdated")

    class Both:
        """A queue group of the two: the older one is asked first."""

        def __init__(self) -> None:
            self.asked = 0

        async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
            self.asked += 1
            return await (old if self.asked < 3 else new_bus).request(subject, data, timeout_s=timeout_s)

    found: Any = Both()
    assert (await ViewClient(found, "acme").one(wish))["owner"] == "ada"
    assert found.asked == 3
    await old_reader.close()
    await new_reader.close()


async def test_an_older_row_of_ours_is_read_with_defaults(store: PostgresEventStore, database: Database) -> None:
    """A field that the release before did not write is what its type says."""
    await record(store, history().stored)
    async with program(database, RUNS._replace(version=1)) as old:
        await old.catch_up()
    change(database, "UPDATE views.checkpoints SET version = 0, readable_from = 0 WHERE projection = 'runs'")
    change(
        database,
        "UPDATE views.runs SET document = convert_to((convert_from(document, 'UTF8')::jsonb - 'fenced')::text, 'UTF8')",
    )
    reader = ViewReader(database.conninfo(READ))
    with pytest.raises(Transient):
        await reader.run("acme", "run-0")  # version 0 is none that RUNS may read
    found = await reader.view(
        "acme",
        RUNS._replace(readable_from=0),
        "SELECT document FROM views.runs WHERE tenant = %s AND name = 'run-0'",
        ("acme",),
        lambda row: msgspec.json.decode(row[0], type=RunView),
    )
    assert [each.fenced for each in found] == [0]
    await reader.close()
