"""A row that its table does not take ends the build beside what is served, never what is served, nor the program."""

from typing import Any

import psycopg
import pytest

from agentplane.errors import Broken
from agentplane.projections.status import State
from agentplane.store import projecting, upgrading
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.projecting import Stepped
from agentplane.store.roles import PROJECT
from agentplane.store.view_tables import TABLES
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history, tables
from tests.integration.projections.releases import RUNS_2, contents, of, program, served_before, tended
from tests.postgres import Database

WRONG = [{}, AttributeError("no such field"), KeyError("no such key"), "NUL\0", 2**70, None]


def unfit(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    """Let one run's row hold what its table does not take, or fail to be made."""
    runs = TABLES["runs"]

    def row(view: Any) -> tuple[object, ...]:
        if view.name != "run-1":
            return runs.row(view)
        if isinstance(wrong, Exception):
            raise wrong
        place = {int: 5, type(None): 0}.get(type(wrong), 4)
        return tuple(wrong if at == place else value for at, value in enumerate(runs.row(view)))

    monkeypatch.setitem(TABLES, "runs", runs._replace(row=row))


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_rebuild_ends_and_the_live_rows_stay(
    store: PostgresEventStore, views: ViewStore, database: Database, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    await record(store, history().stored)
    await views.catch_up()
    before = tables(database)
    with monkeypatch.context() as today:
        unfit(today, wrong)
        with pytest.raises(Broken, match="cannot fold the log again") as caught:
            await views.rebuild("runs")
    assert caught.value.code == "projection.poison"
    assert tables(database) == before
    assert all(each.poison is None for each in await views.status())
    assert (await views.rebuild("runs")).equal


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_upgrade_stops_visibly_and_the_old_version_is_served(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch, wrong: Any
) -> None:
    await served_before(store, database, history().stored)
    before = contents(database)
    with monkeypatch.context() as today:
        unfit(today, wrong)
        async with program(database, RUNS_2) as new:
            assert await new.tend()
            status = await of(new)
            assert (status.version, status.poison) == (1, None)
            assert status.building is not None
            assert status.building.poison is not None
            assert status.building.poison.sequence == status.building.position + 1
            assert status.state is State.STOPPED
            assert await new.tend()  # and does not try again
            assert (await of(new)).building == status.building
    assert contents(database) == before
    async with program(database, RUNS_2) as mended:
        await tended(mended)
        assert (await of(mended)).version == 2


async def test_a_row_refused_within_the_switch_stops_the_build(
    store: PostgresEventStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if all of the log had been appended between the build's last look and the switch."""
    await served_before(store, database, history().stored)
    before = contents(database)
    steps = projecting.step_or_stop

    async def nothing_yet(*_: Any, **__: Any) -> Stepped:
        return Stepped(folded=0, position=0, stopped=False)

    unfit(monkeypatch, None)
    async with program(database, RUNS_2, batch=256) as new:
        monkeypatch.setattr(upgrading, "step_or_stop", nothing_yet)
        assert await new.tend()
        building = (await of(new)).building
        assert building is not None
        assert (building.position, building.poison) == (0, None)
        monkeypatch.setattr(upgrading, "step_or_stop", steps)
        assert await new.tend()
        building = (await of(new)).building
        assert building is not None
        assert building.poison is not None
    assert contents(database) == before
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        assert connection.execute("SELECT version FROM views.checkpoints WHERE projection = 'runs'").fetchone() == (1,)
