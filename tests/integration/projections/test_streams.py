"""The projection that the database folds itself: exactly what the pure fold says, in batches of any size."""

import psycopg
import pytest

from agentplane.projections.engine import RUNS, STREAMS, Projection, fold
from agentplane.store import tallying
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT, READ
from agentplane.store.view_tables import REBUILD_SUFFIX, table_of
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history
from tests.postgres import Database

SHADOW = "runs" + REBUILD_SUFFIX
ROWS = "SELECT * FROM views.streams ORDER BY tenant, kind, namespace, name"


def rows(database: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        return connection.execute(ROWS).fetchall()


async def expected(store: PostgresEventStore) -> list[tuple[object, ...]]:
    views = fold(STREAMS, {}, await store.read(0, 10_000), 0).changed
    return [table_of("streams").row(views[key]) for key in sorted(views)]


@pytest.mark.parametrize("range_events", [1, 7, 250_000])
async def test_the_database_counts_what_the_fold_says(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch, range_events: int
) -> None:
    monkeypatch.setattr(tallying, "RANGE_EVENTS", range_events)
    views = ViewStore(database.conninfo(PROJECT), (STREAMS, RUNS), batch=5)
    await views.prepare()
    log = history().stored
    for part in (log[:11], log[11:12], log[12:]):
        await record(store, part)
        await views.catch_up()
        assert rows(database) == await expected(store)
    before = rows(database)
    report = await views.rebuild("streams")
    assert (report.equal, report.rows, report.position) == (True, len(before), len(log))
    assert rows(database) == before
    await record(store, [])
    assert await views.catch_up() == 0
    await views.close()


async def test_a_rebuild_repairs_a_count(store: PostgresEventStore, database: Database) -> None:
    views = ViewStore(database.conninfo(PROJECT), (STREAMS,))
    await views.prepare()
    await record(store, history().stored)
    await views.catch_up()
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("UPDATE views.streams SET events = events + 1 WHERE name = 'run-1' AND tenant = 'acme'")
    report = await views.rebuild("streams")
    assert not report.equal
    assert rows(database) == await expected(store)
    await views.close()


async def test_a_reader_sees_its_tenant_s_streams_only(store: PostgresEventStore, database: Database) -> None:
    views = ViewStore(database.conninfo(PROJECT), (STREAMS,))
    await views.prepare()
    await record(store, history().stored)
    await views.catch_up()
    with psycopg.connect(database.conninfo(READ)) as connection:
        connection.execute("SELECT set_config('agentplane.tenant', 'rival', false)")
        assert {row[0] for row in connection.execute(ROWS).fetchall()} == {"rival"}
    await views.close()


async def test_status_tells_throughput_and_a_rebuild_under_way(store: PostgresEventStore, database: Database) -> None:
    views = ViewStore(database.conninfo(PROJECT), (STREAMS, RUNS))
    await views.prepare()
    await record(store, history().stored)
    await views.catch_up()
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute(
            "UPDATE views.checkpoints SET since = now() - '10 s'::interval, since_position = position - 30"
        )
        connection.execute(
            "INSERT INTO views.checkpoints (projection, version, position) VALUES ('runs__rebuild', 1, 5)"
        )
        found = {each.projection: each for each in await views.status()}
        assert [found["runs"].events_per_s, found["streams"].events_per_s] == pytest.approx([3.0, 3.0], rel=0.2)
        assert (found["runs"].rebuilding, found["streams"].rebuilding) == (5, None)
        connection.execute("UPDATE views.checkpoints SET updated_at = now() - interval '2 min'")
        assert [each.rebuilding for each in await views.status()] == [None, None]
    await views.close()


async def test_marks_move_on_with_the_position(store: PostgresEventStore, database: Database) -> None:
    """Throughput is measured since 10 to 20 seconds ago, not since the beginning."""
    plain: Projection = RUNS
    views = ViewStore(database.conninfo(PROJECT), (plain,))
    await views.prepare()
    log = history().stored
    await record(store, log[:20])
    await views.catch_up()
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute(
            "UPDATE views.checkpoints SET since = since - '1 h'::interval, later = now() - '11 s'::interval"
        )
        connection.execute("UPDATE views.checkpoints SET later_position = 7")
        await record(store, log[20:])
        await views.catch_up()
        marks = connection.execute("SELECT since_position, later_position FROM views.checkpoints").fetchone()
    assert marks == (7, 20)
    await views.close()
