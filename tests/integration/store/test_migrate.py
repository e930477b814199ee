"""Migrations on a real database: once, in order, whole or not at all, and never over a stranger's schema."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from agentplane.errors import Broken, Denied, Refused, Transient
from agentplane.store.migrate import (
    WORKS_WITH,
    Migration,
    check_schema,
    latest_version,
    migrate,
    shipped,
)
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, OWNER, ROLES, bootstrap
from tests.contract.test_event_store import append, event, stream
from tests.postgres import PASSWORDS, SUPERUSER, Database, PostgresCluster

NEXT = latest_version() + 1
GOOD = Migration(NEXT, "good", "CREATE TABLE log.extra (x int); INSERT INTO log.extra VALUES (1)")
BAD = Migration(NEXT + 1, "bad", "CREATE TABLE log.half (x int); SELECT 1/0")
ADDITIVE = Migration(NEXT, "additive", f"-- works with schema {NEXT - 1} and newer\nCREATE TABLE log.extra (x int)")
BREAKING = Migration(NEXT + 1, "breaking", "CREATE TABLE log.other (x int)")
ADD_COLUMN_AND_INDEX = (
    "ALTER TABLE log.events ADD COLUMN extra text; CREATE INDEX extra ON log.events USING brin (recorded_at)"
)


@pytest.fixture
def empty(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    with postgres_cluster.superuser() as connection:
        connection.execute(f"CREATE DATABASE empty OWNER {OWNER}")
    yield Database(postgres_cluster, "empty")
    with postgres_cluster.superuser() as connection:
        connection.execute("DROP DATABASE empty WITH (FORCE)")


def tables(database: Database) -> set[str]:
    with psycopg.connect(database.conninfo(SUPERUSER)) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'log'").fetchall()
    return {name for (name,) in found}


async def database_head(database: Database) -> int:
    async with await psycopg.AsyncConnection.connect(database.conninfo(SUPERUSER)) as connection:
        row = await (await connection.execute("SELECT coalesce(max(sequence), 0) FROM log.events")).fetchone()
    assert row is not None
    return int(row[0])


async def backend_of(database: Database, words: str) -> int | None:
    """The backend of this database that waits for a lock in a statement with these words."""
    query = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE %s"
        " AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
    )
    async with await psycopg.AsyncConnection.connect(database.conninfo(SUPERUSER)) as connection:
        row = await (await connection.execute(query, [f"%{words}%"])).fetchone()
    return None if row is None else int(row[0])


async def test_an_empty_database_becomes_current_and_a_second_run_does_nothing(empty: Database) -> None:
    with pytest.raises(Broken):
        await check_schema(empty.conninfo(APPEND))
    assert len(await migrate(empty.conninfo(OWNER))) == latest_version()
    assert await migrate(empty.conninfo(OWNER)) == ()
    await check_schema(empty.conninfo(APPEND))


async def test_racing_migrations_run_each_step_once(empty: Database) -> None:
    ran = await asyncio.gather(*(migrate(empty.conninfo(OWNER)) for _ in range(4)))
    assert sorted(map(len, ran)) == [0, 0, 0, latest_version()]


async def test_a_migration_that_fails_leaves_nothing_half_done(database: Database) -> None:
    before = tables(database)
    with pytest.raises(Broken) as caught:
        await migrate(database.conninfo(OWNER), (*shipped(), GOOD, BAD))
    assert caught.value.code == "store.migration"
    assert "bad" in caught.value.message
    assert tables(database) == before
    await check_schema(database.conninfo(OWNER))
    assert await migrate(database.conninfo(OWNER), (*shipped(), GOOD)) == (f"{NEXT:04d}_good",)


async def test_a_schema_of_a_newer_version_is_refused(database: Database) -> None:
    await migrate(database.conninfo(OWNER), (*shipped(), GOOD))
    for attempt in (migrate(database.conninfo(OWNER)), PostgresEventStore.open(database.conninfo(APPEND))):
        with pytest.raises(Broken) as caught:
            await attempt
        assert caught.value.code == "store.schema"
        assert "newer" in str(caught.value.hint)


async def test_programs_that_a_newer_step_names_go_on_and_may_restart(database: Database) -> None:
    """The old version in a rolling upgrade: it opens the migrated database, and migrating it again does nothing."""
    await migrate(database.conninfo(OWNER), (*shipped(), ADDITIVE))
    await check_schema(database.conninfo(APPEND))
    assert await migrate(database.conninfo(OWNER)) == ()
    await migrate(database.conninfo(OWNER), (*shipped(), ADDITIVE, BREAKING))
    with pytest.raises(Broken) as caught:
        await check_schema(database.conninfo(APPEND))
    assert f"schema {NEXT + 1} and newer" in caught.value.message


@pytest.mark.parametrize("step", shipped()[2:], ids=lambda step: step.name)
def test_every_step_says_which_programs_it_works_with(step: Migration) -> None:
    """After the first release every step is additive, or its author says on purpose that old daemons stop first."""
    assert WORKS_WITH.match(step.sql), "first line: -- works with schema N and newer"
    assert 0 < step.works_with <= step.version


async def test_the_old_version_appends_while_the_database_is_migrated(database: Database) -> None:
    store = await PostgresEventStore.open(database.conninfo(APPEND))
    stop = asyncio.Event()

    async def work(producer: int) -> int:
        count = 0
        while not stop.is_set():
            count += 1
            await store.append(append(event(stream(f"p{producer}-{count}"))))
        return count

    try:
        workers = [asyncio.create_task(work(producer)) for producer in range(8)]
        while await database_head(database) < 100:
            pass
        additive = Migration(NEXT, "column", "-- works with schema 1 and newer\n" + ADD_COLUMN_AND_INDEX)
        await migrate(database.conninfo(OWNER), (*shipped(), additive))
        during = await database_head(database)
        while await database_head(database) < during + 100:
            pass
        stop.set()
        counts = await asyncio.gather(*workers)
    finally:
        stop.set()
        await store.close()
    assert await database_head(database) == sum(counts)


async def test_a_table_that_somebody_holds_does_not_hold_up_appends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The migration gives way and tries again; whoever holds the table for good is named as the cause."""
    monkeypatch.setattr("agentplane.store.migrate.LOCK_TIMEOUT", "10ms")
    monkeypatch.setattr("agentplane.store.migrate.LOCK_ATTEMPTS", 3)
    altering = Migration(NEXT, "column", ADD_COLUMN_AND_INDEX)
    with psycopg.connect(database.conninfo(SUPERUSER)) as holder:
        holder.execute("SELECT count(*) FROM log.events")  # a shared lock until its transaction ends
        with pytest.raises(Transient) as caught:
            await migrate(database.conninfo(OWNER), (*shipped(), altering))
        assert caught.value.code == "store.locked"
        await check_schema(database.conninfo(OWNER))
    assert await migrate(database.conninfo(OWNER), (*shipped(), altering)) == (f"{NEXT:04d}_column",)


async def test_a_migration_that_is_killed_half_way_leaves_nothing_and_runs_again(database: Database) -> None:
    waiting = Migration(NEXT, "slow", "CREATE TABLE log.half (x int); SELECT pg_advisory_lock(77)")
    with psycopg.connect(database.conninfo(SUPERUSER), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(77)")
        running = asyncio.create_task(migrate(database.conninfo(OWNER), (*shipped(), waiting)))
        while (pid := await backend_of(database, "pg_advisory_lock(77)")) is None:
            pass
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        with pytest.raises(Transient):
            await running
    assert "half" not in tables(database)
    assert await migrate(database.conninfo(OWNER), (*shipped(), waiting)) == (f"{NEXT:04d}_slow",)


async def refused_to_open_and_to_migrate(database: Database) -> Broken:
    """What a daemon says, which the migration says as well."""
    said = []
    for attempt in (PostgresEventStore.open(database.conninfo(APPEND)), migrate(database.conninfo(OWNER))):
        with pytest.raises(Broken) as caught:
            await attempt
        said.append(caught.value)
    assert [each.code for each in said] == ["store.schema"] * 2
    assert said[0].message == said[1].message
    assert "restore a backup" in str(said[0].hint)
    return said[0]


async def test_a_record_that_says_more_than_the_database_has_is_noticed(database: Database) -> None:
    with psycopg.connect(database.conninfo(SUPERUSER)) as connection:
        connection.execute("DROP TABLE log.outbox_cursor")
    said = await refused_to_open_and_to_migrate(database)
    assert said.message == f"its record says schema version {latest_version()}, and it has no log.outbox_cursor"


async def test_a_record_with_a_hole_is_noticed(database: Database) -> None:
    with psycopg.connect(database.conninfo(SUPERUSER)) as connection:
        connection.execute("DELETE FROM public.agentplane_migrations WHERE version = 2")
    assert "lacks 0002_turns" in (await refused_to_open_and_to_migrate(database)).message


@pytest.mark.parametrize("left", [0, 2])
async def test_a_record_that_says_less_than_the_database_has_changes_nothing(database: Database, left: int) -> None:
    with psycopg.connect(database.conninfo(SUPERUSER)) as connection:
        connection.execute("DELETE FROM public.agentplane_migrations WHERE version > %s", [left])
    before = tables(database)
    with pytest.raises(Broken) as opened:
        await PostgresEventStore.open(database.conninfo(APPEND))
    assert opened.value.code == "store.schema"
    assert f"at schema version {left}" in opened.value.message
    with pytest.raises(Broken) as migrated:
        await migrate(database.conninfo(OWNER))
    assert migrated.value.code == "store.migration"
    assert "already exists" in migrated.value.message
    assert "restore a backup" in str(migrated.value.hint)
    assert tables(database) == before


async def test_an_edited_migration_is_refused(database: Database) -> None:
    first = shipped()[0]
    edited = Migration(first.version, first.name, first.sql + "\n-- a harmless comment\n")
    with pytest.raises(Broken) as caught:
        await migrate(database.conninfo(OWNER), (edited, *shipped()[1:], GOOD))
    assert caught.value.code == "store.schema"
    assert "extra" not in tables(database)


async def test_a_store_does_not_open_over_a_database_that_is_not_migrated(empty: Database) -> None:
    with pytest.raises(Broken) as caught:
        await PostgresEventStore.open(empty.conninfo(APPEND))
    assert caught.value.code == "store.schema"


async def test_a_database_that_does_not_exist_and_a_wrong_password_are_told_apart(database: Database) -> None:
    with pytest.raises(Broken) as caught:
        await check_schema(database.cluster.conninfo(APPEND, "nowhere"))
    assert caught.value.code == "store.schema"
    with pytest.raises(Denied) as denied:
        await check_schema(database.conninfo(APPEND).replace(PASSWORDS[APPEND], "wrong-password"))
    assert "wrong-password" not in str(denied.value)


async def test_bootstrap_can_be_repeated_and_changes_passwords(postgres_cluster: PostgresCluster) -> None:
    superuser = postgres_cluster.conninfo(SUPERUSER, "postgres")
    for suffix in ("-new", ""):
        changed = {role: PASSWORDS[role] + suffix for role in ROLES}
        await bootstrap(superuser, database="agentplane_template", passwords=changed)
    await check_schema(postgres_cluster.conninfo(OWNER, "agentplane_template"))


async def test_a_weak_password_is_refused_without_being_shown(postgres_cluster: PostgresCluster) -> None:
    superuser = postgres_cluster.conninfo(SUPERUSER, "postgres")
    with pytest.raises(Refused) as caught:
        await bootstrap(superuser, database="agentplane_template", passwords={**PASSWORDS, APPEND: "short"})
    assert "short'" not in str(caught.value)
    assert APPEND in str(caught.value)
