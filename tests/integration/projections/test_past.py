"""The past of every kind, on a real PostgreSQL: asked at random places, it equals a fresh fold up to there."""

import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.domains.resource import Resource
from agentplane.domains.simulation import simulate
from agentplane.domains.state import Resources
from agentplane.errors import NotFound, Refused
from agentplane.events.model import Append, Event, StoredEvent
from agentplane.history.places import Place
from agentplane.intents.resources import request_apply, request_delete
from agentplane.projections.engine import EXECUTORS, RESOURCES, RUNS, Projection
from agentplane.queries.client import QueryClient
from agentplane.queries.resources import ResourceClient
from agentplane.queries.server import QueryServer
from agentplane.store.log_queries import LogQueries
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.domains import NOW, REGISTRY, stream
from tests.integration.projections.conftest import record
from tests.unit.projections.histories import Log

LAMPS = [f"lamp-{number:02}" for number in range(8)]
ORG: dict[str, Any] = {"displayName": "Acme", "owner": {"name": "Ada", "email": "ada@acme.example"}}


def wish(draw: random.Random) -> Event:
    """One of a few lamps or organizations is applied, with labels, or deleted."""
    kind, name = draw.choice([("Lamp", draw.choice(LAMPS)), ("Organization", f"org-{draw.randrange(3)}")])
    id_ = uuid.UUID(int=draw.getrandbits(128))
    if draw.random() < 0.2:
        return request_delete(id_, stream=stream(kind, name), actor="user:bob", now=NOW)
    spec = {"level": draw.randrange(4)} if kind == "Lamp" else {**ORG, "suspended": draw.random() < 0.3}
    labels = {"tier": draw.choice(["free", "paid"])} if draw.random() < 0.7 else {}
    api_version = REGISTRY.kinds[kind].api_version
    return request_apply(
        id_, stream=stream(kind, name), api_version=api_version, spec=spec, actor="user:bob", now=NOW, labels=labels
    )


async def live(store: PostgresEventStore, seed: int, count: int) -> None:
    """A history of resources as controllers make one, with runs and an executor in between."""
    draw, known, runs = random.Random(seed), Resources(), Log()  # noqa: S311 - a history, no secret
    runs.executor("exec-1")
    for number in range(4):
        runs.run(f"run-{number}")
    others = list(runs.stored)
    for _ in range(count):
        intent = wish(draw)
        before = known.get(intent.stream)
        try:
            steps = simulate(REGISTRY, before, intent, NOW).steps
        except Refused:
            continue
        events = (intent, *(event for step in steps for event in step.events if event.stream == intent.stream))
        for stored in await store.append(Append(stream=intent.stream, expected_version=None, events=events)):
            known.apply(stored)
        if others and draw.random() < 0.5:
            taken, others = others[:3], others[3:]
            await record(store, taken)
    await record(store, others)


def fresh(projection: Projection, events: list[StoredEvent]) -> dict[tuple[str, ...], Any]:
    views: dict[tuple[str, ...], Any] = {}
    for stored in events:
        if (key := projection.key(stored)) is not None:
            views[key] = projection.apply(views.get(key), stored)
    return views


@pytest.fixture
async def bus(reader: ViewReader, views: ViewStore) -> AsyncIterator[MemoryBus]:
    async def rebuild(_: str | None) -> Any:
        raise NotImplementedError

    made = MemoryBus()
    await QueryServer(made, reader, LogQueries(reader), rebuild).start()
    yield made
    await made.close()


async def listed(client: ResourceClient, kind: str, at: Place | None, selector: str = "") -> list[Resource]:
    """All of a kind in pages of two or three, which must not repeat or skip anything."""
    found: list[Resource] = []
    after: str | None = ""
    while after is not None:
        page = await client.page(kind, at=at, after=after, limit=2 + len(found) % 2, selector=selector)
        found += page.resources
        after = page.next
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_kind_at_random_places_is_a_fresh_fold(
    store: PostgresEventStore, views: ViewStore, bus: MemoryBus, seed: int
) -> None:
    await live(store, seed, 60)
    await views.catch_up()
    events = list(await store.read(0, 10_000))
    resources, asked = ResourceClient(bus, "acme"), QueryClient(bus, "acme")
    draw = random.Random(seed)  # noqa: S311
    for place in [0, *(draw.randrange(1, len(events) + 1) for _ in range(12)), len(events)]:
        upto = [each for each in events if each.sequence <= place]
        by_time = upto[-1].recorded_at if upto and draw.random() < 0.3 else None
        at = Place(time=by_time) if by_time else Place(sequence=place)
        upto = [each for each in events if each.recorded_at <= by_time] if by_time else upto
        folded = fresh(RESOURCES, upto)
        for kind in ("Lamp", "Organization"):
            own = [folded[key] for key in sorted(folded) if key[:2] == ("acme", kind) and folded[key].exists]
            assert await listed(resources, kind, at) == own
            paid = [each for each in own if each.labels.get("tier") == "paid"]
            assert await listed(resources, kind, at, "tier=paid") == paid
        name = draw.choice(LAMPS)
        then = folded.get(("acme", "Lamp", "default", name))
        if then is not None and then.exists:
            assert await resources.one("Lamp", name, at=at) == then
        else:
            with pytest.raises(NotFound):
                await resources.one("Lamp", name, at=at)
        runs = fresh(RUNS, upto)
        assert {each.name for each in (await asked.runs(at=at)).runs} == {key[1] for key in runs if key[0] == "acme"}
        for key, view in runs.items():
            assert await asked.run(key[1], at=at) == view
        executors = fresh(EXECUTORS, upto)
        assert [each.executor.name for each in await asked.executors(at=at)] == sorted(key[1] for key in executors)


async def test_the_present_is_paged_and_selected_alike(
    store: PostgresEventStore, views: ViewStore, bus: MemoryBus
) -> None:
    await live(store, 4, 80)
    await views.catch_up()
    resources, head = ResourceClient(bus, "acme"), Place(sequence=await store.head())
    for selector in ("", "tier=paid", "tier!=paid", "tier in (free,paid)", "!tier"):
        assert await listed(resources, "Lamp", None, selector) == await listed(resources, "Lamp", head, selector)
    assert await listed(ResourceClient(bus, "rival"), "Lamp", head) == []
    with pytest.raises(Refused) as caught:
        await resources.page("Lamp", selector="a b")
    assert caught.value.code == "query.selector"
