"""A domain's own read model beside ours: folded, rebuilt to the same bytes, shown to its tenant alone."""

from collections.abc import Iterable
from datetime import datetime

import msgspec
import psycopg
import pytest

from agentplane.domains.organization.projections import ORGANIZATIONS, OrganizationView
from agentplane.domains.simulation import simulate
from agentplane.errors import Refused
from agentplane.events.model import Append, StoredEvent
from agentplane.projections.engine import PROJECTIONS, Projection
from agentplane.projections.status import State, Status, words
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, PROJECT, READ
from agentplane.store.view_tables import table_of
from agentplane.store.views import ViewStore
from tests.domains import NOW, REGISTRY, wish
from tests.postgres import Database

SPEC: dict[str, object] = {"displayName": "Acme", "owner": {"name": "Ada", "email": "ada@acme.example"}}


async def record(store: PostgresEventStore, name: str) -> None:
    intent = wish("Organization", name, SPEC)
    events = [event for step in simulate(REGISTRY, None, intent, NOW).steps for event in step.events]
    await store.append(Append(stream=intent.stream, expected_version=0, events=(intent, *events)))


async def test_its_views_are_kept_rebuilt_and_private(store: PostgresEventStore, database: Database) -> None:
    for name in ("one", "two"):
        await record(store, name)
    views = ViewStore(database.conninfo(PROJECT), (*PROJECTIONS.values(), ORGANIZATIONS), batch=3)
    try:
        await views.prepare()
        await views.catch_up()
        assert {each.projection for each in await views.status()} == {*PROJECTIONS, "organizations"}
        rebuilt = await views.rebuild("organizations")
    finally:
        await views.close()
    assert (rebuilt.equal, rebuilt.rows) == (True, 2)
    with psycopg.connect(database.conninfo(READ)) as connection:
        assert connection.execute("SELECT * FROM views.organizations").fetchall() == []
        connection.execute("SELECT set_config('agentplane.tenant', 'acme', true)")
        rows = connection.execute("SELECT document FROM views.organizations ORDER BY name").fetchall()
    found = [msgspec.json.decode(row[0], type=OrganizationView) for row in rows]
    assert [(each.name, each.phase, each.activations) for each in found] == [("one", "Active", 1), ("two", "Active", 1)]


async def test_one_that_fails_stops_alone(store: PostgresEventStore, database: Database) -> None:
    def fail(_: object, stored: StoredEvent) -> None:
        raise Refused("cannot be folded", code="event.payload", where=str(stored.sequence))

    await record(store, "one")
    broken = Projection("organizations", 1, OrganizationView, ORGANIZATIONS.key, fail)
    views = ViewStore(database.conninfo(PROJECT), (*PROJECTIONS.values(), broken))
    try:
        await views.prepare()
        await views.catch_up()
        status = {each.projection: each for each in await views.status()}
    finally:
        await views.close()
    assert status["organizations"].poison is not None
    assert {name for name, each in status.items() if each.lag == 0} == set(PROJECTIONS)


class HoursAgo:
    """Of a history that was recorded a while ago; the wishes in it are of tests.domains.NOW."""

    def now(self) -> datetime:
        return NOW


async def test_one_whose_domain_was_removed_is_no_failure_and_can_be_dropped(database: Database) -> None:
    everything = (*PROJECTIONS.values(), ORGANIZATIONS)
    async with await PostgresEventStore.open(database.conninfo(APPEND), clock=HoursAgo()) as store:
        await follow(database, everything)
        await record(store, "one")
    assert (await follow(database, PROJECTIONS.values()))["organizations"].state is State.CATCHING_UP  # for all we know
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        connection.execute("UPDATE views.checkpoints SET updated_at = now() - interval '1 h'")
    found = await follow(database, PROJECTIONS.values())
    assert (found["organizations"].state, found["organizations"].lag > 0) == (State.REMOVED, True)
    assert "drop" in words(found["organizations"])
    assert {each.state for name, each in found.items() if name != "organizations"} == {State.LIVE}
    assert (await follow(database, everything))["organizations"].state is State.LIVE  # it came back
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        connection.execute("DROP TABLE views.organizations")
        connection.execute("DELETE FROM views.checkpoints WHERE projection = 'organizations'")
    assert set(await follow(database, PROJECTIONS.values())) == set(PROJECTIONS)


async def follow(database: Database, projections: Iterable[Projection]) -> dict[str, Status]:
    """How everything does once a program with these projections has folded the log."""
    views = ViewStore(database.conninfo(PROJECT), tuple(projections))
    try:
        await views.prepare()
        await views.catch_up()
        return {each.projection: each for each in await views.status()}
    finally:
        await views.close()


@pytest.mark.parametrize("name", ["checkpoints", "a; DROP TABLE", "Upper", ""])
def test_a_name_that_would_change_a_statement_is_no_table(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        table_of(name)
