"""Migrations on a real database: once, in order, whole or not at all, and never over a stranger's schema."""

import asyncio
from collections.abc import Iterator

import psycopg
import pytest

from agentplane.errors import Broken, Denied, Refused
from agentplane.store.migrate import Migration, check_schema, current_version, latest_version, migrate, shipped
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, OWNER, ROLES, bootstrap
from tests.postgres import PASSWORDS, SUPERUSER, Database, PostgresCluster

NEXT = latest_version() + 1
GOOD = Migration(NEXT, "good", "CREATE TABLE log.extra (x int); INSERT INTO log.extra VALUES (1)")
BAD = Migration(NEXT + 1, "bad", "CREATE TABLE log.half (x int); SELECT 1/0")


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


async def test_an_empty_database_becomes_current_and_a_second_run_does_nothing(empty: Database) -> None:
    assert await current_version(empty.conninfo(OWNER)) == 0
    assert len(await migrate(empty.conninfo(OWNER))) == latest_version()
    assert await migrate(empty.conninfo(OWNER)) == ()
    assert await current_version(empty.conninfo(OWNER)) == latest_version()
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
    assert await current_version(database.conninfo(OWNER)) == latest_version()
    assert await migrate(database.conninfo(OWNER), (*shipped(), GOOD)) == (f"{NEXT:04d}_good",)


async def test_a_schema_of_a_newer_version_is_refused(database: Database) -> None:
    await migrate(database.conninfo(OWNER), (*shipped(), GOOD))
    for attempt in (migrate(database.conninfo(OWNER)), PostgresEventStore.open(database.conninfo(APPEND))):
        with pytest.raises(Broken) as caught:
            await attempt
        assert caught.value.code == "store.schema"
        assert "newer" in str(caught.value.hint)


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
        await current_version(database.cluster.conninfo(APPEND, "nowhere"))
    assert caught.value.code == "store.schema"
    with pytest.raises(Denied) as denied:
        await current_version(database.conninfo(APPEND).replace(PASSWORDS[APPEND], "wrong-password"))
    assert "wrong-password" not in str(denied.value)


async def test_bootstrap_can_be_repeated_and_changes_passwords(postgres_cluster: PostgresCluster) -> None:
    superuser = postgres_cluster.conninfo(SUPERUSER, "postgres")
    for suffix in ("-new", ""):
        changed = {role: PASSWORDS[role] + suffix for role in ROLES}
        await bootstrap(superuser, database="agentplane_template", passwords=changed)
    assert await current_version(postgres_cluster.conninfo(OWNER, "agentplane_template")) == latest_version()


async def test_a_weak_password_is_refused_without_being_shown(postgres_cluster: PostgresCluster) -> None:
    superuser = postgres_cluster.conninfo(SUPERUSER, "postgres")
    with pytest.raises(Refused) as caught:
        await bootstrap(superuser, database="agentplane_template", passwords={**PASSWORDS, APPEND: "short"})
    assert "short'" not in str(caught.value)
    assert APPEND in str(caught.value)
