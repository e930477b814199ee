"""A connection that the server ended while it waited is replaced before it is used."""

import pytest

from agentplane.store.connection import Link
from agentplane.store.roles import READ
from tests.postgres import Database


@pytest.fixture
def link(database: Database) -> Link:
    return Link(database.conninfo(READ))


async def pid(link: Link) -> int:
    async with link.use() as connection:
        found = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert found is not None
    return int(found[0])


def end(database: Database, pid: int) -> None:
    with database.cluster.superuser(database.name) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 20000)", [pid])


async def test_a_session_that_was_ended_meanwhile_is_no_error(link: Link, database: Database) -> None:
    first = await pid(link)
    assert await pid(link) == first
    end(database, first)
    assert await pid(link) != first
    await link.drop()


async def test_a_listener_keeps_what_was_announced_before_it_looks(link: Link, database: Database) -> None:
    async with link.use() as connection:
        await connection.execute("LISTEN news")
    with database.cluster.superuser(database.name) as other:
        other.execute("NOTIFY news, 'first'")
    async with link.use() as connection:
        heard = [each.payload async for each in connection.notifies(timeout=10, stop_after=1)]
    assert heard == ["first"]
    await link.drop()
