"""A new version of a read model is built beside the old one, which is served until the switch: in a real PostgreSQL."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import sql
from structlog.testing import capture_logs

from agentplane.errors import Conflict, Transient
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import EXECUTORS, RUNS, STREAMS, Projection
from agentplane.projections.run_view import RunView
from agentplane.projections.status import State, Status
from agentplane.store import projecting, view_tables
from agentplane.store.claims import claim
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT, READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.integration.projections.test_views import history
from tests.postgres import Database
from tests.unit.projections.histories import Log

NEWER_MESSAGE = "as version 2 has it"


def newer(view: RunView | None, stored: StoredEvent) -> RunView | None:
    after = RUNS.apply(view, stored)
    return None if after is None else replace(after, message=NEWER_MESSAGE)


RUNS_2 = RUNS._replace(version=2, apply=newer)


@asynccontextmanager
async def program(
    database: Database, *projections: Projection, batch: int = 5, grace_s: float = 0.0
) -> AsyncIterator[ViewStore]:
    """A projector of a release that has these projections; ends as one that is killed does."""
    views = ViewStore(database.conninfo(PROJECT), projections, batch=batch, grace_s=grace_s)
    try:
        await views.prepare()
        yield views
    finally:
        await views.close()


async def of(views: ViewStore, name: str = "runs") -> Status:
    return next(each for each in await views.status() if each.projection == name)


def relations(database: Database) -> set[str]:
    """All tables of views, and the checkpoints that there are."""
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'views'").fetchall()
        marks = connection.execute("SELECT 'at ' || projection FROM views.checkpoints").fetchall()
    return {row[0] for row in (*tables, *marks)} - {"checkpoints"}


def contents(database: Database) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        return connection.execute("SELECT * FROM views.runs ORDER BY tenant, name").fetchall()


async def served_before(store: PostgresEventStore, database: Database, events: Sequence[StoredEvent]) -> None:
    """What the release before left: its rows, up to the end of the log."""
    await record(store, events)
    async with program(database, RUNS) as old:
        await old.catch_up()


async def test_old_rows_are_served_until_the_new_ones_are_complete(
    store: PostgresEventStore, reader: ViewReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history()
    await served_before(store, database, log.stored)
    before = contents(database)
    seen: list[tuple[str, int]] = []
    steps = projecting.step

    async def watched(*given: Any, **named: Any) -> Any:
        seen.append(((await reader.run("acme", "run-0") or pytest.fail("it is gone")).message, len(contents(database))))
        return await steps(*given, **named)

    monkeypatch.setattr("agentplane.store.upgrading.step", watched)
    async with program(database, RUNS_2) as new:
        assert await new.catch_up() == 0  # not into the rows of another version
        assert contents(database) == before
        status = await of(new)
        assert (status.state, status.version, status.position) == (State.UPGRADING, 1, len(log.stored))
        assert not await new.tend()
        assert len(seen) > len(log.stored) // 5
        assert {rows for _, rows in seen} == {len(before)}
        assert NEWER_MESSAGE not in {message for message, _ in seen}
        view = await reader.run("acme", "run-0")
        assert view is not None
        assert view.message == NEWER_MESSAGE
        status = await of(new)
        assert (status.state, status.version, status.position, status.building) == (
            State.LIVE,
            2,
            len(log.stored),
            None,
        )
        log.run("later")
        await record(store, log.stored[-8:])
        assert await new.catch_up() > 0
        assert (await reader.run("acme", "later") or pytest.fail("not folded")).message == NEWER_MESSAGE
    assert relations(database) == {"runs", "at runs"}
    upgraded = contents(database)
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("DELETE FROM views.checkpoints")
    async with program(database, RUNS_2) as fresh:
        await fresh.catch_up()
    assert contents(database) == upgraded


async def test_no_read_fails_and_none_goes_back_under_load(
    store: PostgresEventStore, reader: ViewReader, database: Database
) -> None:
    """Readers, an old program that goes on folding, appends, and versions that follow one another."""
    await served_before(store, database, history().stored)
    done = asyncio.Event()

    async def read() -> int:
        count, last = 0, 0
        while not done.is_set():
            found = await reader.runs("acme", limit=1000, before=None, state=None, lane=None, executor=None)
            assert len(found) >= last >= 0
            assert await reader.run("acme", "run-0") is not None
            last, count = len(found), count + 1
        return count

    async def write(log: Log) -> None:
        for stored in log.stored:
            await record(store, [stored])
            await old.catch_up()

    busy = Log()
    for number in range(30):
        busy.run(f"busy-{number}")
    async with program(database, RUNS) as old:
        readers = [asyncio.ensure_future(read()) for _ in range(2)]
        writer = asyncio.ensure_future(write(busy))
        version = 2
        while not writer.done():
            async with program(database, RUNS_2._replace(version=version), batch=25) as new:
                while await new.tend():  # until there is a moment without readers
                    continue
                assert (await of(new)).version == version
            version += 1
        await writer
        done.set()
    assert all(count > 0 for count in await asyncio.gather(*readers))
    assert version > 3
    async with program(database, RUNS_2._replace(version=version)) as last:
        assert not await last.tend()
        assert (await of(last)).lag == 0
    assert relations(database) == {"runs", "at runs"}


@contextmanager
def upgrader(database: Database) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.integration.projections.upgrader", database.conninfo(PROJECT)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def upgraded(process: subprocess.Popen[str], version: int, moment: int) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{version} {moment}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


async def test_a_kill_at_any_moment_costs_nothing_and_leaves_nothing(
    store: PostgresEventStore, database: Database
) -> None:
    """kill -9 before every round trip of an upgrade: rows are whole, and the next program ends what was begun."""
    await served_before(store, database, history().stored)
    whole = contents(database)
    killed = 0
    with upgrader(database) as process:
        while upgraded(process, 2, killed + 1) == 9:
            killed += 1
            assert contents(database) == whole
            assert upgraded(process, 2, 0) == 0
            assert contents(database) == whole
            assert relations(database) == {"runs", "at runs"}
            assert upgraded(process, 1, 0) == 0  # a downgrade: the same code path, the other way round
            assert relations(database) == {"runs", "at runs"}
    assert killed > 20, killed
    async with program(database, RUNS_2) as last:
        assert (await of(last)).version == 2


async def test_a_build_is_gone_on_with_and_not_begun_again(store: PostgresEventStore, database: Database) -> None:
    await served_before(store, database, history().stored)
    with upgrader(database) as process:
        moment = 1
        while "at runs__rebuild" not in relations(database) or _position(database, "runs__rebuild") < 30:
            assert upgraded(process, 2, moment) == 9
            moment += 1
    async with program(database, RUNS_2) as new:
        status = await of(new)
        assert status.building is not None
        assert (status.state, status.version, status.building.version) == (State.UPGRADING, 1, 2)
        assert 0 < status.building.percent < 100
        with capture_logs() as said:
            await new.tend()
    assert [each["event"] for each in said] == ["projection.upgrade-resumed", "projection.upgraded"]


def _position(database: Database, name: str) -> int:
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        row = connection.execute("SELECT position FROM views.checkpoints WHERE projection = %s", [name]).fetchone()
    return int(row[0]) if row else 0


def left_behind(database: Database, version: int, *, projection: str = "runs", quiet: bool = True) -> None:
    """A build whose program was killed."""
    table = sql.Identifier(projection + "__rebuild")
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE views.{} (x int)").format(table))
        connection.execute(
            "INSERT INTO views.checkpoints (projection, version, position, updated_at) "
            "VALUES (%s, %s, 3, now() - make_interval(mins => %s))",
            [projection + "__rebuild", version, int(quiet)],
        )


@pytest.mark.parametrize("version", [1, 2])
async def test_what_a_dead_program_left_is_removed(store: PostgresEventStore, database: Database, version: int) -> None:
    """A comparison of the version that is served (1), and a release that was taken back (2)."""
    await served_before(store, database, history().stored)
    left_behind(database, version)
    left_behind(database, 7, projection="of_a_domain_that_is_gone")
    async with program(database, RUNS, grace_s=20) as old:
        assert not await old.tend()
    assert relations(database) == {"runs", "at runs"}


async def test_a_living_or_restarting_program_s_build_is_left_alone(
    store: PostgresEventStore, database: Database
) -> None:
    await served_before(store, database, history().stored)
    left_behind(database, 2, quiet=False)
    async with program(database, RUNS, grace_s=20) as old:
        assert await old.tend()  # it may come back
    assert "runs__rebuild" in relations(database)
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        connection.execute("UPDATE views.checkpoints SET updated_at = now() - interval '1 min'")
    async with program(database, RUNS) as old:
        async with await psycopg.AsyncConnection.connect(database.conninfo(PROJECT), autocommit=True) as living:
            await claim(living, [RUNS_2])
            assert await old.tend()
            assert "runs__rebuild" in relations(database)
        assert not await old.tend()
    assert relations(database) == {"runs", "at runs"}


async def test_the_checkpoints_of_a_release_without_upgrades_are_gone_on_with(
    store: PostgresEventStore, database: Database
) -> None:
    await served_before(store, database, history().stored)
    with psycopg.connect(database.conninfo(PROJECT), autocommit=True) as connection:
        for column in ("readable_from", "since", "since_position", "later", "later_position"):
            connection.execute(sql.SQL("ALTER TABLE views.checkpoints DROP COLUMN {}").format(sql.Identifier(column)))
    async with program(database, RUNS_2) as new:
        assert not await new.tend()
        assert ((await of(new)).version, (await of(new)).state) == (2, State.LIVE)


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
        assert not await old.tend()  # alone after a downgrade, it builds its own
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
