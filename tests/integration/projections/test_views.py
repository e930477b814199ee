"""The read models in a real PostgreSQL: exact, resumable, rebuildable, and stopped alone by poison."""

import asyncio

import psycopg
import pytest

from agentplane.errors import Broken, Conflict, NotFound, Transient
from agentplane.intents.runs import run_stream
from agentplane.projections.engine import EVIDENCE, EXECUTORS, PROJECTIONS, RUNS, Projection, fold
from agentplane.projections.status import Rebuilt
from agentplane.runs import facts
from agentplane.store import projecting, tallying
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.projecting import Events
from agentplane.store.roles import PROJECT, READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history, tables
from tests.postgres import Database
from tests.unit.projections.histories import Log


async def test_the_tables_hold_what_the_fold_says(
    store: PostgresEventStore, views: ViewStore, reader: ViewReader
) -> None:
    log = history()
    await record(store, log.stored)
    await views.catch_up()
    stored = await store.read(0)
    expected = fold(RUNS, {}, stored, 0).changed
    for (tenant, name), view in expected.items():
        assert await reader.run(tenant, name) == view
    rows = await reader.evidence("acme", "run-0", 0, 100)
    assert rows == tuple(v for k, v in fold(EVIDENCE, {}, stored, 0).changed.items() if k[:2] == ("acme", "run-0"))
    assert await reader.executors("acme") == tuple(fold(EXECUTORS, {}, stored, 0).changed.values())
    assert [(each.lag, each.poison) for each in await views.status()] == [(0, None)] * len(PROJECTIONS)


async def test_live_and_catch_up_give_the_same_bytes(store: PostgresEventStore, database: Database) -> None:
    log = history()
    live = ViewStore(database.conninfo(PROJECT), batch=3)
    await live.prepare()
    for stored in log.stored:
        await record(store, [stored])
        await live.catch_up()
    after_live = tables(database)
    await live.close()
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("DELETE FROM views.checkpoints")
    behind = ViewStore(database.conninfo(PROJECT))
    await behind.prepare()
    assert await behind.catch_up() == len(log.stored) * len(PROJECTIONS)
    await behind.close()
    assert tables(database) == after_live


async def test_a_rebuild_yields_the_same_bytes_and_says_so(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    before = tables(database)
    for name in PROJECTIONS:
        report = await views.rebuild(name)
        assert report.equal, report
        assert report.hash_before == report.hash_after
        assert report.rows == len(before[name])
    assert tables(database) == before
    log = history()
    log.run("later")
    await record(store, log.stored[-8:])
    await views.catch_up()
    assert len(tables(database)["runs"]) == len(before["runs"]) + 1


async def test_a_rebuild_notices_and_repairs_a_changed_row(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    before = tables(database)
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("UPDATE views.runs SET lane = 'prod' WHERE name = 'run-0'")
    report = await views.rebuild("runs")
    assert not report.equal
    assert tables(database) == before


async def test_readers_are_served_during_rebuilds_under_load(
    store: PostgresEventStore, views: ViewStore, reader: ViewReader, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    done = asyncio.Event()

    async def read() -> int:
        count = 0
        while not done.is_set():
            assert await reader.run("acme", "run-0") is not None
            count += 1
        return count

    async def write() -> None:
        log = Log()
        for number in range(40):
            log.run(f"busy-{number}")
        for stored in log.stored:
            await record(store, [stored])
            await views.catch_up()

    readers = [asyncio.ensure_future(read()) for _ in range(2)]
    writer = asyncio.ensure_future(write())
    reports: list[Rebuilt] = []
    while not writer.done():
        reports.extend([await views.rebuild(name) for name in PROJECTIONS])
    done.set()
    await writer
    assert all(count > 0 for count in await asyncio.gather(*readers))
    assert all(report.equal for report in reports)


async def test_a_poison_event_stops_one_projection_visibly(
    store: PostgresEventStore, views: ViewStore, reader: ViewReader, database: Database
) -> None:
    log = Log()
    log.run("good")
    good = len(log.stored)
    log.add(run_stream("acme", "bad"), facts.STARTED, {"nonsense": True})
    log.executor("exec-1")
    log.run("after")
    await record(store, log.stored)
    await views.catch_up()
    status = {each.projection: each for each in await reader.status()}
    poison = status["runs"].poison
    assert poison is not None
    assert (status["runs"].position, poison.sequence) == (good, good + 1)
    assert "event.payload" in poison.reason
    assert status["runs"].lag == len(log.stored) - good
    assert (status["executors"].lag, status["evidence"].lag) == (0, 0)
    assert await reader.run("acme", "good") is not None
    assert await reader.run("acme", "after") is None
    await views.prepare()  # a restart tries once more
    await views.catch_up()
    assert next(each for each in await reader.status() if each.projection == "runs").poison == poison


@pytest.mark.parametrize("projection", PROJECTIONS.values(), ids=lambda each: each.name)
async def test_a_kill_between_batch_and_checkpoint_changes_nothing(
    projection: Projection,
    store: PostgresEventStore,
    views: ViewStore,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The connection is cut after the rows were written and before the checkpoint is."""
    monkeypatch.setattr(tallying, "RANGE_EVENTS", 5)
    await record(store, history().stored)
    await views.step(projection.name)
    before = tables(database)
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(
            "CREATE FUNCTION views.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        admin.execute("CREATE TRIGGER cut BEFORE UPDATE ON views.checkpoints FOR EACH ROW EXECUTE FUNCTION views.cut()")
        with pytest.raises(Transient):
            await views.step(projection.name)
        assert tables(database) == before
        admin.execute("DROP TRIGGER cut ON views.checkpoints")
    await views.catch_up()
    report = await views.rebuild(projection.name)
    assert report.equal


async def test_what_a_crash_of_the_server_set_back_is_folded_again_without_new_events(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    """Commits of views do not wait for the disk; a crash takes views and checkpoints back together."""
    await record(store, history().stored)
    await views.catch_up()
    before = tables(database)
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("TRUNCATE views.runs, views.streams")
        connection.execute("UPDATE views.checkpoints SET position = 0 WHERE projection IN ('runs', 'streams')")
    with database.cluster.superuser() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity WHERE usename = %s AND datname = %s",
            [PROJECT, database.name],
        )
    assert await views.catch_up() > 0  # over a new connection, where no position is believed
    assert tables(database) == before


async def test_a_page_is_read_once_for_all_and_its_end_is_seen_in_passing(
    store: PostgresEventStore, views: ViewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history().stored
    await record(store, log[:20])
    await views.catch_up()
    pages: list[int] = []

    async def counted(connection: psycopg.AsyncConnection[tuple[object, ...]], after: int, limit: int) -> Events:
        pages.append(after)
        return await projecting.read(connection, after, limit)

    monkeypatch.setattr("agentplane.store.views.read", counted)
    await record(store, log[20:21])
    assert await views.catch_up() > 0
    assert pages == [20]


async def test_two_projectors_at_once_are_one(store: PostgresEventStore, database: Database) -> None:
    log = history()
    await record(store, log.stored)
    both = [ViewStore(database.conninfo(PROJECT), batch=2) for _ in range(2)]
    await asyncio.gather(*(each.prepare() for each in both))
    folded = await asyncio.gather(*(each.catch_up() for each in both))
    assert sum(folded) == len(log.stored) * len(PROJECTIONS)
    assert (await both[0].rebuild("runs")).equal
    for each in both:
        await each.close()


async def test_one_rebuild_at_a_time_and_only_of_what_exists(store: PostgresEventStore, views: ViewStore) -> None:
    await record(store, history().stored)
    with pytest.raises(NotFound):
        await views.rebuild("nonsense")
    first = asyncio.ensure_future(views.rebuild("runs"))
    await asyncio.sleep(0)
    with pytest.raises(Conflict):
        await views.rebuild("evidence")
    assert (await first).rows == 0  # the live one has folded nothing yet, so neither may the new one


async def test_a_rebuild_that_today_s_code_cannot_do_leaves_the_live_tables(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    before = tables(database)

    def broken(_: object, __: object) -> object:
        raise ValueError("a mistake of today")

    newer = ViewStore(database.conninfo(PROJECT), [RUNS._replace(apply=broken)])
    with pytest.raises(Broken) as caught:
        await newer.rebuild("runs")
    assert caught.value.code == "projection.poison"
    await newer.close()
    assert tables(database) == before


async def test_row_level_security_shows_a_reader_its_tenant_only(
    store: PostgresEventStore, views: ViewStore, database: Database
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    with psycopg.connect(database.conninfo(READ)) as connection:
        assert connection.execute("SELECT count(*) FROM views.runs").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM log.events").fetchone() == (0,)
        connection.execute("SELECT set_config('agentplane.tenant', 'rival', true)")
        assert connection.execute("SELECT DISTINCT tenant FROM views.runs").fetchall() == [("rival",)]
        assert connection.execute("SELECT DISTINCT tenant FROM views.evidence").fetchall() == [("rival",)]
        assert connection.execute("SELECT DISTINCT tenant FROM log.events").fetchall() == [("rival",)]
        assert connection.execute("SELECT log.head()").fetchone() == (len(history().stored),)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM views.runs")
