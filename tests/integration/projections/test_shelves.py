"""What `agentplane get` lists, kind by kind, on a real PostgreSQL: pages join up, and selectors select."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.cli.shelves import Asked, Found, cell, shelf_of
from agentplane.domains.discovery import OURS
from agentplane.domains.registry import Registry
from agentplane.domains.simulation import simulate
from agentplane.errors import NotFound, Refused
from agentplane.events.model import Append
from agentplane.history.places import Place
from agentplane.queries.server import QueryServer
from agentplane.runs.states import Outcome
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.domains import NOW, wish
from tests.integration.projections.conftest import record
from tests.unit.projections.histories import Log

REGISTRY = Registry(OURS)
SPEC: dict[str, object] = {"displayName": "Acme", "owner": {"name": "Ada", "email": "ada@acme.example"}}
RUNS = 7
ORGANIZATIONS = 5


@pytest.fixture
async def bus(store: PostgresEventStore, views: ViewStore, reader: ViewReader) -> AsyncIterator[MemoryBus]:
    """Runs that end in either way, three executors, organizations."""

    async def rebuild(_: str | None) -> Any:
        raise NotImplementedError

    log = Log()
    for name in ("exec-1", "exec-2", "exec-3"):
        log.executor(name)
    for number in range(RUNS):
        log.run(f"run-{number}", outcome=Outcome.EXITED if number % 2 else Outcome.TIMEOUT)
    await record(store, log.stored)
    for number in range(ORGANIZATIONS):
        intent = wish("Organization", f"org-{number}", SPEC)
        events = [event for step in simulate(REGISTRY, None, intent, NOW).steps for event in step.events]
        await store.append(Append(stream=intent.stream, expected_version=0, events=(intent, *events)))
    await views.catch_up()
    made = MemoryBus()
    await QueryServer(made, reader, LogQueries(reader), rebuild).start()
    yield made
    await made.close()


async def pages(bus: Any, kind: str, limit: int, selector: str = "", at: Place | None = None) -> list[Found]:
    """All pages of a kind, joined; each has as many as asked for but the last."""
    shelf = shelf_of(REGISTRY.kind(kind), bus, "acme")
    found: list[Found] = []
    after: str | None = ""
    while after is not None:
        page, after = await shelf.page(Asked(None, selector, after, limit, at))
        assert len(page) == limit or after is None
        found += page
    return found


@pytest.mark.parametrize(("kind", "count"), [("runs", RUNS), ("executors", 3), ("organizations", ORGANIZATIONS)])
async def test_pages_of_any_size_are_the_same_list(bus: MemoryBus, kind: str, count: int) -> None:
    whole = await pages(bus, kind, 100)
    assert len(whole) == count
    for limit in (1, 2, 3, count):
        assert await pages(bus, kind, limit) == whole
        assert [each.name for each in await pages(bus, kind, limit, at=Place(sequence=10**6))] == [
            each.name for each in whole
        ]
    for each in whole:
        shelf = shelf_of(REGISTRY.kind(kind), bus, "acme")
        assert (await shelf.one(each.name, "default", None)).name == each.name
    with pytest.raises(NotFound):
        await shelf_of(REGISTRY.kind(kind), bus, "acme").one("nosuch", "default", None)


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_selectors_see_what_a_kind_declares(bus: MemoryBus, limit: int) -> None:
    failed = await pages(bus, "runs", limit, "state=failed")
    rest = await pages(bus, "runs", limit, "state!=failed,executor")
    assert {cell(each.document, "state") for each in failed} == {"failed"}
    assert len(failed) + len(rest) == RUNS
    assert len(await pages(bus, "executors", limit, "os=linux,arch in (x86_64)")) == 3
    assert await pages(bus, "executors", limit, "os=plan9") == []


async def test_a_token_of_another_kind_is_refused(bus: MemoryBus) -> None:
    with pytest.raises(Refused) as caught:
        await shelf_of(REGISTRY.kind("runs"), bus, "acme").page(Asked(None, "", "default/org-1", 5, None))
    assert caught.value.code == "query.continue"
