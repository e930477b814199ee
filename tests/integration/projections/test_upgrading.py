"""A new version of a read model is built beside the old one, which is served until the switch: in a real PostgreSQL."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import sql
from structlog.testing import capture_logs

from agentplane.projections.engine import RUNS
from agentplane.projections.status import State
from agentplane.store import projecting
from agentplane.store.claims import claim
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT
from agentplane.store.view_reader import ViewReader
from tests.integration.projections.conftest import record
from tests.integration.projections.made import history
from tests.integration.projections.releases import (
    NEWER_MESSAGE,
    RUNS_2,
    contents,
    of,
    program,
    relations,
    served_before,
    tended,
)
from tests.postgres import Database

ENOUGH_VERSIONS = 4


async def test_old_rows_are_served_until_the_new_ones_are_complete(
    store: PostgresEventStore, reader: ViewReader, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = history()
    await served_before(store, database, log.stored)
    before = contents(database)
    seen: list[tuple[str, int]] = []
    steps = projecting.step_or_stop

    async def watched(*given: Any, **named: Any) -> Any:
        seen.append(((await reader.run("acme", "run-0") or pytest.fail("it is gone")).message, len(contents(database))))
        return await steps(*given, **named)

    monkeypatch.setattr("agentplane.store.upgrading.step_or_stop", watched)
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
    enough, done = asyncio.Event(), asyncio.Event()

    async def read() -> int:
        count, last = 0, 0
        while not done.is_set():
            found = await reader.runs("acme", limit=1000, before=None, state=None, lane=None, executor=None)
            assert len(found) >= last >= 0
            assert await reader.run("acme", "run-0") is not None
            last, count = len(found), count + 1
        return count

    async def write() -> None:
        """At least so many runs, and until there were enough versions beside them."""
        log = history()
        for number in itertools.count():
            if number >= 30 and enough.is_set():
                return
            known = len(log.stored)
            log.run(f"busy-{number}")
            for stored in log.stored[known:]:
                await record(store, [stored])
                await old.catch_up()

    async with program(database, RUNS) as old:
        readers = [asyncio.ensure_future(read()) for _ in range(2)]
        writer = asyncio.ensure_future(write())
        version = 2
        while not (writer.done() and enough.is_set()):
            async with program(database, RUNS_2._replace(version=version), batch=25) as new:
                await tended(new)  # until there is a moment without readers
                assert (await of(new)).version == version
            version += 1
            if version > ENOUGH_VERSIONS:
                enough.set()
        await writer
        done.set()
    assert all(count > 0 for count in await asyncio.gather(*readers))
    async with program(database, RUNS_2._replace(version=version)) as last:
        await tended(last)
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
    killed, version = 0, 2
    with upgrader(database) as process:
        while upgraded(process, version, killed + 1) == 9:
            killed += 1
            assert contents(database) == whole
            assert upgraded(process, version, 0) == 0
            assert contents(database) == whole
            assert relations(database) == {"runs", "at runs"}
            version = 3 - version  # and back: a downgrade is the same code path, killed just so
    assert killed > 20, killed
    async with program(database, RUNS_2._replace(version=version)) as last:
        assert (await of(last)).version == version


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
            await tended(new)
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
        await tended(old)
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
