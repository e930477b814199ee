"""What the database itself refuses, asked by each role with plain SQL."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from agentplane.errors import Denied
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, OWNER, PROJECT, READ
from tests.contract.test_event_store import append, event
from tests.postgres import SUPERUSER, Database, PostgresCluster, fresh_database, run_alone

CHANGES = (
    "UPDATE log.events SET actor = 'user:mallory'",
    "UPDATE log.events SET sequence = 9 WHERE sequence = 1",
    "DELETE FROM log.events",
    "DELETE FROM log.events WHERE false",
    "TRUNCATE log.events",
    "TRUNCATE log.events CASCADE",
    "MERGE INTO log.events e USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "INSERT INTO log.events SELECT * FROM log.events ON CONFLICT (sequence) DO UPDATE SET actor = 'user:mallory'",
)


@pytest.fixture(scope="module")
def filled(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    """Two events, for all tests of this file: none of them can change it."""

    async def fill(database: Database) -> None:
        async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
            await store.append(append(event(), event()))

    with fresh_database(postgres_cluster) as database:
        run_alone(fill(database))
        yield database


def run(database: Database, role: str, statement: str) -> None:
    with psycopg.connect(database.conninfo(role)) as connection:
        connection.execute(statement.encode())


def rows(database: Database) -> list[tuple[object, ...]]:
    with psycopg.connect(database.conninfo(SUPERUSER)) as connection:
        return connection.execute("SELECT * FROM log.events ORDER BY sequence").fetchall()


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("role", [APPEND, PROJECT, READ])
def test_daily_roles_lack_the_privilege_to_change_the_log(filled: Database, role: str, statement: str) -> None:
    before = rows(filled)
    with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        run(filled, role, statement)
    assert rows(filled) == before


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("role", [OWNER, SUPERUSER])
def test_the_trigger_refuses_changes_also_to_the_owner_and_superusers(
    filled: Database, role: str, statement: str
) -> None:
    before = rows(filled)
    with pytest.raises(errors.RestrictViolation, match="append-only"):
        run(filled, role, statement)
    assert rows(filled) == before


def test_the_trigger_also_fires_where_replicas_skip_triggers(filled: Database) -> None:
    with pytest.raises(errors.RestrictViolation):
        run(filled, SUPERUSER, "SET session_replication_role = replica; DELETE FROM log.events")


@pytest.mark.parametrize("role", [APPEND, PROJECT, READ])
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE log.events DISABLE TRIGGER ALL",
        "DROP TABLE log.events CASCADE",
        "CREATE OR REPLACE FUNCTION log.refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT null'",
        "CREATE TABLE log.another (x int)",
        "UPDATE public.agentplane_migrations SET checksum = ''",
    ],
)
def test_daily_roles_cannot_disarm_the_log(filled: Database, role: str, statement: str) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        run(filled, role, statement)


@pytest.mark.parametrize(("role", "seen"), [(PROJECT, 2), (READ, 0)])  # a reader names its tenant first
async def test_a_role_that_may_only_read_reads_and_is_denied_appends(filled: Database, role: str, seen: int) -> None:
    async with await PostgresEventStore.open(filled.conninfo(role)) as store:
        assert len(await store.read(0)) == seen
        with pytest.raises(Denied):
            await store.append(append(event()))
        assert await store.head() == seen


def test_views_belong_to_the_projector_and_are_read_by_the_reader(filled: Database) -> None:
    run(filled, PROJECT, "CREATE TABLE views.runs (name text); INSERT INTO runs VALUES ('one')")
    run(filled, READ, "SELECT * FROM views.runs")
    with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        run(filled, READ, "SET default_transaction_read_only = off; DELETE FROM views.runs")
    with pytest.raises(errors.InsufficientPrivilege):
        run(filled, APPEND, "DELETE FROM views.runs")


def test_passwords_are_stored_as_scram_verifiers(filled: Database) -> None:
    with psycopg.connect(filled.conninfo(SUPERUSER)) as connection:
        found = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'agentplane%'").fetchall()
    assert len(found) == 4
    assert all(password.startswith("SCRAM-SHA-256$") for (password,) in found)
