"""New events go into all read models in one transaction, and whatever is in the way of one of them stops no other."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Literal

from agentplane.errors import Transient
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import PROJECTIONS, RUNS, Projection
from agentplane.runs import facts
from agentplane.store import views as views_module
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.projecting import Stepped, step_or_stop
from agentplane.store.roles import PROJECT
from agentplane.store.together import Moved, move
from agentplane.store.view_tables import TABLES
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history, tables
from tests.postgres import Database

CUT = """
    CREATE FUNCTION views.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
    CREATE TRIGGER cut BEFORE UPDATE ON views.checkpoints FOR EACH ROW EXECUTE FUNCTION views.cut()"""


@pytest.fixture
def separately(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The projections that were taken one by one."""
    names: list[str] = []

    async def noted(connection: Any, projection: Projection, *where: Any, **how: Any) -> Stepped:
        names.append(projection.name)
        return await step_or_stop(connection, projection, *where, **how)

    monkeypatch.setattr(views_module, "step_or_stop", noted)
    return names


async def _live(store: PostgresEventStore, views: ViewStore, events: Sequence[StoredEvent]) -> None:
    for start in range(0, len(events), 3):
        await record(store, events[start : start + 3])
        await views.catch_up()


async def test_what_is_folded_together_equals_what_a_rebuild_yields(
    store: PostgresEventStore, views: ViewStore, database: Database, separately: list[str]
) -> None:
    log = history().stored
    await views.catch_up()
    assert sorted(separately) == sorted(PROJECTIONS)  # once, to find out where each is
    separately.clear()
    await _live(store, views, log)
    assert separately == []
    live = tables(database)
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])
    assert tables(database) == live


async def test_a_fold_that_fails_stops_its_projection_and_no_other(
    store: PostgresEventStore, views: ViewStore, separately: list[str]
) -> None:
    log = history()
    good = len(log.stored)
    await _live(store, views, log.stored)
    log.add(log.stored[-1].event.stream, facts.STARTED, {"nonsense": True})
    log.run("after")
    await _live(store, views, log.stored[good:])
    status = {each.projection: each for each in await views.status()}
    stopped = status.pop("runs")
    assert stopped.poison is not None
    assert (stopped.position, stopped.poison.sequence) == (good, good + 1)
    assert "event.payload" in stopped.poison.reason
    assert {each.lag for each in status.values()} == {0}
    separately.clear()
    log.run("and on")
    await _live(store, views, log.stored[-8:])
    assert separately == []  # the others go together again


async def test_a_row_that_the_database_does_not_take_leaves_the_others_alone(
    store: PostgresEventStore, views: ViewStore, database: Database, separately: list[str]
) -> None:
    log = history().stored
    await _live(store, views, log[:-3])
    with psycopg.connect(database.conninfo(PROJECT)) as owner:
        check = SQL("ALTER TABLE views.runs ADD CONSTRAINT no CHECK (last_sequence < {})")
        owner.execute(check.format(Literal(len(log) - 2)))
    separately.clear()
    await record(store, log[-3:])
    await views.catch_up()
    assert "runs" in separately
    status = {each.projection: each for each in await views.status()}
    stopped = status.pop("runs")
    assert stopped.poison is not None
    assert stopped.poison.sequence == stopped.position + 1
    assert "store.constraint: PostgreSQL: new row" in stopped.poison.reason
    assert {each.lag for each in status.values()} == {0}
    with psycopg.connect(database.conninfo(PROJECT)) as owner:
        owner.execute("ALTER TABLE views.runs DROP CONSTRAINT no")
    await views.prepare()  # as a start of the daemon does
    await views.catch_up()
    assert {each.lag for each in await views.status()} == {0}
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])


@pytest.mark.parametrize("wrong", [{}, AttributeError("no such field"), "\ud800", "NUL\0", 2**70])
async def test_whatever_a_row_holds_stops_its_projection_and_no_other(
    store: PostgresEventStore, views: ViewStore, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    log = history().stored
    await _live(store, views, log[:-3])
    runs = TABLES["runs"]

    def row(view: Any) -> tuple[object, ...]:
        if isinstance(wrong, Exception):
            raise wrong
        place = 5 if isinstance(wrong, int) else 4
        return tuple(wrong if at == place else value for at, value in enumerate(runs.row(view)))

    monkeypatch.setitem(TABLES, "runs", runs._replace(row=row))
    await _live(store, views, log[-3:])
    status = {each.projection: each for each in await views.status()}
    stopped = status.pop("runs")
    assert stopped.poison is not None
    assert stopped.poison.sequence == stopped.position + 1
    assert {each.lag for each in status.values()} == {0}
    monkeypatch.setitem(TABLES, "runs", runs)
    await views.prepare()
    await views.catch_up()
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])


async def test_nobody_waits_for_a_projection_that_somebody_holds(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    log = history().stored
    await record(store, log[:6])
    await views.catch_up()
    with psycopg.connect(database.conninfo(PROJECT)) as holder:
        holder.execute("SELECT FROM views.checkpoints WHERE projection = 'runs' FOR UPDATE")
        stored = await record_and_read(store, log[6:9])
        async with await psycopg.AsyncConnection.connect(database.conninfo(PROJECT), autocommit=True) as other:
            async with asyncio.timeout(10):
                moved = await move(other, tuple(PROJECTIONS.values()), 6, stored, limit=10)
    assert moved == Moved(frozenset(PROJECTIONS) - {"runs"}, ())
    await views.catch_up()  # believes them all where they were
    assert {each.lag for each in await views.status()} == {0}
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])


async def record_and_read(store: PostgresEventStore, events: Sequence[StoredEvent]) -> tuple[StoredEvent, ...]:
    head = await store.head()
    await record(store, events)
    return await store.read(head)


async def test_two_projectors_side_by_side_apply_everything_once(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    other = ViewStore(database.conninfo(PROJECT))
    log = history().stored
    for start in range(0, len(log), 2):
        await record(store, log[start : start + 2])
        await asyncio.gather(views.catch_up(), other.catch_up())
    assert {each.lag for each in await views.status()} == {0}
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])
    await other.close()


async def test_killed_before_the_commit_all_of_it_is_undone(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    log = history().stored
    await _live(store, views, log[:-3])
    before = tables(database)
    await record(store, log[-3:])
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(CUT)
        with pytest.raises(Transient):
            await views.catch_up()
        assert tables(database) == before
        admin.execute("DROP TRIGGER cut ON views.checkpoints")
    await views.catch_up()
    assert all([(await views.rebuild(name)).equal for name in PROJECTIONS])


async def test_another_versions_rows_are_left_alone(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    log = history().stored
    await record(store, log[:6])
    await views.catch_up()
    stored = await record_and_read(store, log[6:9])
    newer = tuple(each._replace(version=each.version + (each is RUNS)) for each in PROJECTIONS.values())
    async with await psycopg.AsyncConnection.connect(database.conninfo(PROJECT), autocommit=True) as other:
        moved = await move(other, newer, 6, stored, limit=10)
    assert moved is not None
    assert moved.names == frozenset(PROJECTIONS) - {"runs"}


async def test_statements_that_a_rollback_of_the_driver_took_are_prepared_anew(
    store: PostgresEventStore, views: ViewStore, database: Database, separately: list[str]
) -> None:
    log = history().stored
    await _live(store, views, log[:-3])
    assert views._known is not None
    await views._known.execute("DEALLOCATE ALL")
    views._known._prepared.clear()
    separately.clear()
    await _live(store, views, log[-3:])
    assert separately == []
    assert {each.lag for each in await views.status()} == {0}
