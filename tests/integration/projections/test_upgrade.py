"""A rolling upgrade over one PostgreSQL: an old and a new program side by side lose nothing."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.clock import SystemClock
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.deadletters import LetterState, fold
from agentplane.domains.model import Domain, Kind, Spec
from agentplane.domains.registry import Registry
from agentplane.events.model import Append, Event, StoredEvent
from agentplane.events.upcasting import EventType
from agentplane.intents.resources import request_apply
from agentplane.projections.engine import PROJECTIONS, Projection
from agentplane.runs.model import Wire
from agentplane.store.outbox import OutboxCursor
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, PROJECT, READ
from agentplane.store.views import ViewStore
from services.control.resources import CURSOR, Reconciler, ResourceDesk
from services.control.runtime import Runtime
from tests.domains import NOW, stream
from tests.postgres import Database

COUNT = 12


class Lamp(Spec):
    level: int = 1


class Light(Wire, frozen=True, kw_only=True):
    """How bright a lamp is, in the words of one version: `unit` tells which."""

    tenant: str
    kind: str
    namespace: str
    name: str
    value: int
    unit: str


def switch(version: int) -> Controller:
    class Switch(Controller):
        NAME = "lamp-switch"
        VERSION = version
        WATCH = (Watch(kind="Lamp"),)

        def reconcile(self, context: Context) -> Decision | None:
            assert isinstance(context.spec, Lamp)
            level = context.spec.level
            data = {"watt": level} if version == 1 else {"lumen": level * 10}
            return Decision(status={"by": version}, emit=(Emit(type="lamp.lit", data=data),))

    return Switch()


def meter(field: str) -> Controller:
    class Meter(Controller):
        NAME = "lamp-meter"
        WATCH = (Watch(kind="Lamp", type="lamp.lit"),)

        def reconcile(self, context: Context) -> Decision | None:
            return Decision(status={"measured": context.event.data[field]})

    return Meter()


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    at = stored.event.stream
    return (at.tenant, at.kind, at.namespace, at.name) if stored.event.type == "lamp.lit" else None


def lights(field: str, unit: str) -> Projection:
    def apply(_: Light | None, stored: StoredEvent) -> Light:
        at = stored.event.stream
        return Light(
            tenant=at.tenant,
            kind=at.kind,
            namespace=at.namespace,
            name=at.name,
            value=stored.event.data[field],
            unit=unit,
        )

    return Projection("lights", 1, Light, key, apply)


def to_lumen(data: dict[str, Any]) -> dict[str, Any]:
    return {"lumen": data["watt"] * 10}


def program(version: int) -> Registry:
    """All that one version of the domain is: what it writes, what it reads."""
    field, unit = ("watt", "W") if version == 1 else ("lumen", "lm")
    kind = Kind(
        name="Lamp",
        plural="lamps",
        api_version="lamps.example/v1",
        spec=Lamp,
        controllers=(switch(version), meter(field)),
    )
    events = () if version == 1 else (EventType(name="lamp.lit", upcasts=(to_lumen,)),)
    return Registry((Domain(name="lamps", kinds=(kind,), projections=(lights(field, unit),), events=events),))


class Running:
    """One control and one projector of a version."""

    def __init__(self, registry: Registry, store: PostgresEventStore, views: ViewStore, cursor: OutboxCursor) -> None:
        self.runtime = Runtime(store, MemoryBus(), SystemClock(), registry.upcasters)
        self.desk = ResourceDesk(self.runtime, registry)
        self.reconciler = Reconciler(self.runtime, registry, cursor, look_again_s=0.05)
        self.views = views

    async def apply(self, name: str, level: int) -> None:
        intent = request_apply(
            uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{level}"),
            stream=stream("Lamp", name),
            api_version="lamps.example/v1",
            spec={"level": level},
            actor="user:alice",
            now=NOW,
        )
        await self.runtime.catch_up()
        await self.desk.act(intent, 1)


@asynccontextmanager
async def running(version: int, database: Database) -> AsyncIterator[Running]:
    registry = program(version)
    views = ViewStore(database.conninfo(PROJECT), (*PROJECTIONS.values(), *registry.projections.values()), batch=3)
    cursor = OutboxCursor(database.conninfo(APPEND), CURSOR)
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await views.prepare()
        one = Running(registry, store, views, cursor)
        await one.runtime.catch_up()

        async def project() -> None:
            while True:
                await views.catch_up()
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(one.runtime.follow()), asyncio.create_task(project())]
        tasks.append(asyncio.create_task(one.reconciler.run()))
        try:
            yield one
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await cursor.close()
            await views.close()


async def until(database: Database, reached: Callable[[tuple[StoredEvent, ...]], bool]) -> tuple[StoredEvent, ...]:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store, asyncio.timeout(60):
        while True:
            events = await store.read(0, 10_000)
            if reached(events):
                return events
            await asyncio.sleep(0.05)


def measured(count: int) -> Callable[[tuple[StoredEvent, ...]], bool]:
    def reached(events: tuple[StoredEvent, ...]) -> bool:
        patches = [each.event.data.get("patch", {}) for each in events]
        return sum("measured" in patch for patch in patches) >= count

    return reached


def shown(database: Database) -> dict[str, Light]:
    with psycopg.connect(database.conninfo(READ)) as connection:
        connection.execute("SELECT set_config('agentplane.tenant', 'acme', true)")
        rows = connection.execute("SELECT document FROM views.lights").fetchall()
    found = [msgspec.json.decode(row[0], type=Light) for row in rows]
    return {each.name: each for each in found}


async def all_shown(database: Database) -> None:
    async with asyncio.timeout(30):
        while True:
            if len(shown(database)) > COUNT:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_two_versions_side_by_side_lose_nothing(database: Database, order: tuple[int, int]) -> None:
    """Whichever holds the cursor: both are handed wishes, both project, then the old one goes."""
    first, second = order
    async with running(first, database) as one:
        await one.apply("lamp-first", 7)
        await until(database, lambda events: any(each.event.type == "lamp.lit" for each in events))
        async with running(second, database) as two:
            for number in range(COUNT):
                await (one if number % 2 else two).apply(f"lamp-{number}", number + 1)
            lit = COUNT + 1
            await until(database, lambda events: sum(e.event.type == "lamp.lit" for e in events) >= lit)
    async with running(2, database) as new:  # the upgrade is done
        await until(database, measured(COUNT + 1))
        await all_shown(database)
        events = await new.runtime.store.read(0, 10_000)
        lamps = {each.name: each for each in new.runtime.state.resources.live()}
        status = {each.projection: each for each in await new.views.status()}
    wanted = {"lamp-first": 7, **{f"lamp-{number}": number + 1 for number in range(COUNT)}}
    assert {name: each.spec["level"] for name, each in lamps.items()} == wanted
    assert sum(each.event.type == "lamp.lit" for each in events) == COUNT + 1
    assert {letter.state for letter in fold(events)} <= {LetterState.RESOLVED}
    # each in the words of whoever wrote it last; none is missing and none is misread
    for name, light in shown(database).items():
        assert light.value == wanted[name] * (10 if light.unit == "lm" else 1)
        assert lamps[name].status["measured"] in {wanted[name], wanted[name] * 10}
    assert {name: each.poison for name, each in status.items()} == dict.fromkeys(status)


async def test_an_old_projector_waits_before_what_is_too_new_and_the_new_one_goes_on(database: Database) -> None:
    async with running(2, database) as new:
        await new.apply("hall", 4)
        await until(database, measured(1))
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await store.append(Append(stream=stream("Torch", "x"), expected_version=0, events=(_other(),)))
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        connection.execute("DROP TABLE views.lights")
        connection.execute("DELETE FROM views.checkpoints")
    old = ViewStore(database.conninfo(PROJECT), tuple(program(1).projections.values()))
    await old.prepare()
    await old.catch_up()
    (waits,) = await old.status()
    assert waits.poison is not None
    assert waits.poison.reason.startswith("event.newer: ")
    assert shown(database) == {}
    both = ViewStore(database.conninfo(PROJECT), tuple(program(2).projections.values()))
    await both.catch_up()  # beside it, without any restart
    assert shown(database)["hall"].value == 40
    await old.catch_up()
    (status,) = await old.status()
    assert (status.poison, status.lag) == (None, 0)
    await old.close()
    await both.close()


def _other() -> Event:
    return request_apply(
        uuid.UUID(int=1),
        stream=stream("Torch", "x"),
        api_version="x/v1",
        spec={},
        actor="user:alice",
        now=NOW,
    )
