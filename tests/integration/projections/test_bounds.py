"""What one tenant may ask for at once, and for how long: others are answered meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.projections.run_view import RunSummary
from agentplane.projections.status import Rebuilt
from agentplane.queries import protocol as wire
from agentplane.queries.server import QueryServer
from agentplane.store.log_queries import LogQueries
from agentplane.store.roles import READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.postgres import Database

ENOUGH = 60  # more than a tenant may ask at once


class Stuck(ViewReader):
    """Never done with the runs of some tenants."""

    def __init__(self, conninfo: str, *, connections: int, stuck: tuple[str, ...] = ("acme",)) -> None:
        super().__init__(conninfo, connections=connections)
        self._stuck = stuck

    async def runs(self, tenant: str, **wish: Any) -> tuple[RunSummary, ...]:
        if tenant in self._stuck:
            await asyncio.Event().wait()
        return await super().runs(tenant, **wish)


@pytest.fixture
async def stuck(database: Database, views: ViewStore) -> AsyncIterator[Stuck]:
    reader = Stuck(database.conninfo(READ), connections=2)
    yield reader
    await reader.close()


async def rebuild(name: str | None) -> tuple[Rebuilt, ...]:
    raise AssertionError(name)


def server(reader: ViewReader, **options: Any) -> QueryServer:
    return QueryServer(MemoryBus(), reader, LogQueries(reader), rebuild, **options)


async def code(server: QueryServer, tenant: str, name: str = wire.RUNS_LIST) -> str:
    error = msgspec.json.decode(await server.answer(f"agentplane-query.{tenant}.{name}", b"{}"), type=wire.Answer).error
    return error.code if error else "answered"


async def test_a_tenant_that_asks_too_much_is_told_so_and_others_are_answered(stuck: Stuck) -> None:
    queries = server(stuck)
    asking = [asyncio.ensure_future(code(queries, "acme")) for _ in range(ENOUGH)]
    refused, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert {each.result() for each in refused} == {"query.busy"}
    assert len(waiting) >= 1
    assert await code(queries, "rival") == "answered"
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert await code(queries, "acme", wire.EXECUTORS_LIST) == "answered"


async def test_two_tenants_together_leave_room_for_a_third(database: Database, views: ViewStore) -> None:
    reader = Stuck(database.conninfo(READ), connections=2, stuck=("acme", "rival"))
    queries = server(reader)
    asking = [asyncio.ensure_future(code(queries, tenant)) for tenant in ("acme", "rival") for _ in range(ENOUGH)]
    try:
        refused, waiting = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert {each.result() for each in refused} == {"query.busy"}
        assert await code(queries, "third") == "answered"
        assert len(waiting) < ENOUGH
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await reader.close()


async def test_an_answer_that_takes_too_long_is_given_up(stuck: Stuck) -> None:
    assert await code(server(stuck, patience_s=0.01), "acme") == "query.too-long"


async def test_a_tenant_never_holds_the_last_connection(stuck: Stuck) -> None:
    slow = [asyncio.ensure_future(stuck.rows("acme", "SELECT pg_sleep(25)", ())) for _ in range(4)]
    other = asyncio.ensure_future(stuck.rows("rival", "SELECT 1", ()))  # after them in every queue
    async with asyncio.timeout(10):
        assert await other == [(1,)]
    assert not any(each.done() for each in slow)
    for each in slow:
        each.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_what_is_given_up_is_given_up_by_the_database_too(stuck: Stuck) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await stuck.rows("acme", "SELECT pg_sleep(25)", ())
    assert await stuck.rows("acme", "SELECT 1", ()) == [(1,)]


async def test_only_operators_have_the_read_models_built_again(stuck: Stuck) -> None:
    assert await code(server(stuck), "acme", wire.PROJECTIONS_REBUILD) == "query.operator"


async def test_whoever_waits_too_long_for_a_connection_is_told_so(database: Database, views: ViewStore) -> None:
    reader = ViewReader(database.conninfo(READ), connections=1, patience_s=0.05)
    slow = asyncio.ensure_future(reader.rows("acme", "SELECT pg_sleep(25)", ()))
    await asyncio.sleep(0)
    assert await code(server(reader), "rival") == "query.busy"
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert await code(server(reader), "rival") == "answered"
    await reader.close()


async def test_whoever_waits_too_long_for_somebodys_lock_is_told_so(database: Database, views: ViewStore) -> None:
    reader = ViewReader(database.conninfo(READ), patience_s=0.05)
    with database.cluster.superuser(database.name) as stranger, stranger.transaction():
        stranger.execute("LOCK TABLE log.events, views.runs IN ACCESS EXCLUSIVE MODE")
        assert {await code(server(reader), "acme", name) for name in (wire.RUNS_LIST, wire.EVENTS_LIST)} == {
            "store.locked"
        }
    assert await code(server(reader), "acme") == "answered"
    await reader.close()


async def test_three_greedy_tenants_leave_a_connection_for_a_fourth(database: Database, views: ViewStore) -> None:
    reader = ViewReader(database.conninfo(READ))
    greedy = ("acme", "rival", "third")
    slow = [asyncio.ensure_future(reader.rows(each, "SELECT pg_sleep(25)", ())) for each in greedy for _ in range(9)]
    async with asyncio.timeout(10):
        assert await reader.rows("fourth", "SELECT 1", ()) == [(1,)]
    assert not any(each.done() for each in slow)
    for each in slow:
        each.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    await reader.close()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (wire.RUN_GET, b'{"run": "\\u0000"}'),
        ("resource-get", b'{"kind": "a\\u0000", "name": "b"}'),
        (wire.EVENTS_LIST, b'{"correlation": "\\u0000"}'),
    ],
)
async def test_nothing_is_called_by_a_nul(reader: ViewReader, name: str, body: bytes) -> None:
    answer = await server(reader).answer(f"agentplane-query.acme.{name}", body)
    error = msgspec.json.decode(answer, type=wire.Answer).error
    assert error is not None
    assert error.code == "query.malformed"


async def test_a_place_beyond_every_sequence_is_the_end(reader: ViewReader, views: ViewStore) -> None:
    answer = await server(reader).answer(f"agentplane-query.acme.{wire.RUNS_LIST}", b'{"before": %d}' % 2**63)
    assert msgspec.json.decode(answer, type=wire.Answer).error is None
