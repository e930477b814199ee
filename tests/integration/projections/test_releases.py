"""Programs of several releases alive at once, and rows whose columns another release made: in a real PostgreSQL."""

import asyncio
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from agentplane.errors import Conflict, Transient
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import EXECUTORS, RUNS, STREAMS
from agentplane.projections.run_view import RunView
from agentplane.projections.status import State
from agentplane.store import view_tables
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import READ
from agentplane.store.view_reader import ViewReader
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history
from tests.integration.projections.releases import (
    RUNS_2,
    contents,
    newer,
    of,
    program,
    served_before,
    tended,
)
from tests.postgres import Database


async def test_an_old_program_beside_the_new_one_folds_on_and_then_stands_by(
    store: PostgresEventStore, database: Database
) -> None:
    log = history()
    await record(store, log.stored)
    async with program(database, RUNS) as old:
        await old.catch_up()
        assert not await old.tend()
        async with program(database, RUNS_2) as new:
            log.run("while-building")
            await record(store, log.stored[-8:])
            assert await new.catch_up() == 0
            assert await old.catch_up() == 8  # it keeps fresh what is served
            assert not await new.tend()
            log.run("after")
            await record(store, log.stored[-8:])
            assert await old.catch_up() == 0
            assert await old.tend()  # nothing to do while the new one lives, but it looks
            await old.prepare()  # a restart
            assert await old.catch_up() == 0
            assert await new.catch_up() == 8
            assert {row[1] for row in contents(database)} >= {"while-building", "after"}
            assert (await of(old)).version == 2
            with pytest.raises(Conflict) as refused:
                await old.rebuild("runs")
            assert refused.value.code == "projection.upgrading"
        await tended(old)  # alone after a downgrade, it builds its own
        assert ((await of(old)).version, (await of(old)).lag) == (1, 0)


async def test_a_newer_program_has_time_to_restart_before_an_older_one_takes_over(
    store: PostgresEventStore, database: Database
) -> None:
    await served_before(store, database, history().stored)
    async with program(database, RUNS, grace_s=3600) as old:
        async with program(database, RUNS_2) as new:
            await new.tend()
        assert await old.tend()
        assert (await of(old)).version == 2


async def test_three_versions_alive_and_the_newest_wins(store: PostgresEventStore, database: Database) -> None:
    await record(store, history().stored)
    three = RUNS_2._replace(version=3)
    async with program(database, RUNS) as one, program(database, RUNS_2) as two, program(database, three) as last:
        for _ in range(2):
            await asyncio.gather(one.tend(), two.tend(), last.tend())
        assert (await of(one)).version == 3
        assert await two.tend()
        assert (await of(one)).version == 3


async def test_a_build_that_cannot_fold_leaves_the_old_rows_and_says_why(
    store: PostgresEventStore, reader: ViewReader, database: Database
) -> None:
    log = history()
    await served_before(store, database, log.stored)

    def broken(view: RunView | None, stored: StoredEvent) -> RunView | None:
        if stored.sequence > 30:
            raise ValueError("a mistake of the new release")
        return newer(view, stored)

    async with program(database, RUNS_2._replace(apply=broken), STREAMS) as new:
        assert await new.tend()
        await new.catch_up()
        status = await of(new)
        assert status.building is not None
        assert status.building.poison is not None
        assert (status.state, status.version, status.building.poison.sequence) == (State.STOPPED, 1, 31)
        assert "a mistake of the new release" in status.building.poison.reason
        assert (await of(new, "streams")).lag == 0
        assert await reader.run("acme", "run-0") is not None
    async with program(database, RUNS_2) as mended:  # the same version: it was never served
        assert not await mended.tend()
        assert ((await of(mended)).state, (await of(mended)).version) == (State.LIVE, 2)


async def test_a_long_read_holds_up_the_switch_and_nobody_behind_it(
    store: PostgresEventStore, reader: ViewReader, database: Database
) -> None:
    await served_before(store, database, history().stored)
    async with program(database, RUNS_2) as new:
        with psycopg.connect(database.conninfo(READ)) as long_read, capture_logs() as said:
            long_read.execute("SELECT count(*) FROM views.runs")
            assert await new.tend()
            assert await new.tend()
            assert [each["event"] for each in said] == ["projection.upgrade-begun"]
            assert (await of(new)).version == 1
            assert await reader.run("acme", "run-0") is not None
        assert not await new.tend()
        assert (await of(new)).version == 2


def with_column(column: str, kind: str, value: Any) -> view_tables.Table:
    """The table of runs as another release has it."""
    table = view_tables.TABLES["runs"]
    columns = [each for each in table.columns if each[0] != column]
    at = [each[0] for each in table.columns].index(column) if len(columns) < len(table.columns) else None

    def row(view: RunView) -> tuple[object, ...]:
        values = table.row(view)
        return (*(values if at is None else (*values[:at], *values[at + 1 :])), value)

    return table._replace(columns=(*columns, (column, kind)), row=row)


async def test_a_column_that_the_old_table_lacks_is_no_failure_but_a_matter_of_time(
    store: PostgresEventStore, reader: ViewReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served_before(store, database, history().stored)
    monkeypatch.setitem(view_tables.TABLES, "runs", with_column("flavour", 'text COLLATE "C" NOT NULL', "sweet"))

    async def flavours() -> list[str]:
        statement = "SELECT flavour FROM views.runs WHERE tenant = %s"
        return await reader.view("acme", RUNS_2, statement, ("acme",), lambda row: str(row[0]))

    with pytest.raises(Transient) as waits:
        await flavours()
    assert waits.value.code == "query.rebuilding"
    assert waits.value.exit_status == 6
    assert "the read model runs is being rebuilt for this release, 0 %" in str(waits.value)
    async with program(database, RUNS_2) as new:
        await new.tend()
    assert await flavours() == ["sweet"] * 4
    monkeypatch.undo()
    old = RUNS
    statement = "SELECT lane FROM views.runs WHERE tenant = %s"
    assert len(await reader.view("acme", old, statement, ("acme",), lambda row: str(row[0]))) == 4  # it can read them


async def test_a_column_of_another_type_is_read_by_connections_that_knew_the_old_one(
    store: PostgresEventStore, reader: ViewReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served_before(store, database, history().stored)
    statement = "SELECT state FROM views.runs WHERE tenant = %s"
    for _ in range(9):  # prepared on every connection
        found = await reader.view("acme", RUNS_2, statement, ("acme",), lambda row: row[0])
        assert set(map(type, found)) == {str}
    monkeypatch.setitem(view_tables.TABLES, "runs", with_column("state", "bigint NOT NULL", 7))
    async with program(database, RUNS_2) as new:
        await new.tend()
    for _ in range(9):
        assert await reader.view("acme", RUNS_2, statement, ("acme",), lambda row: row[0]) == [7] * 4


async def test_an_old_program_whose_columns_are_gone_stands_by_and_answers_so(
    store: PostgresEventStore, reader: ViewReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(store, history().stored)
    async with program(database, RUNS, EXECUTORS) as old:
        await old.catch_up()
        renamed = view_tables.TABLES["runs"]
        columns = [("body" if name == "document" else name, kind) for name, kind in renamed.columns]
        with monkeypatch.context() as release:
            release.setitem(view_tables.TABLES, "runs", renamed._replace(columns=tuple(columns)))
            release.setattr(
                view_tables,
                "select",
                lambda *_: (
                    "SELECT tenant, name, body FROM views.runs__rebuild WHERE "
                    "(tenant, name) IN (SELECT * FROM unnest(%s::text[], %s::text[]))"
                ),
            )
            async with program(database, RUNS_2) as new:
                await new.tend()
        log = history()
        log.run("later")
        await record(store, log.stored[-8:])
        assert await old.catch_up() > 0  # the executors go on
        with pytest.raises(Transient) as outdated:
            await reader.run("acme", "run-0")
    assert outdated.value.code == "query.outdated"
