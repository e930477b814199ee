"""A domain of somebody else, a desk for its wishes, and controllers over a store in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

from agentplane.bus.memory import MemoryBus
from agentplane.controllers.runs import Office
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.model import Domain, Kind, Spec
from agentplane.domains.organization import DOMAIN as ORGANIZATION
from agentplane.domains.registry import Registry
from agentplane.domains.resource import Resource
from agentplane.errors import Denied
from agentplane.events.model import Event, StoredEvent, StreamId
from agentplane.intents.resources import request_apply, request_delete
from agentplane.policy import Policy
from agentplane.store.outbox import Place
from services.control.desks import IntentDesk
from services.control.intake import Intake
from services.control.resources import Reconciler
from services.control.runtime import Runtime
from tests.scenario.shell import WITHIN_S, AdversarialStore, Moment, at_work, publish
from tests.scenario.world import TENANT, signer_for


class Lamp(Spec):
    """A lamp: `mood` says what its controller does with it."""

    mood: str = "calm"
    level: int = 1


class Switch(Controller):
    NAME = "lamp-switch"
    WATCH = (Watch(kind="Lamp", type="resource.*"), Watch(kind="Lamp", type="lamp.*"))

    def authorize(self, context: Context) -> None:
        assert isinstance(context.spec, Lamp)
        if context.spec.mood == "forbidden":
            raise Denied("nobody may light this one", code="lamp.denied")

    def reconcile(self, context: Context) -> Decision | None:
        spec = context.spec
        assert isinstance(spec, Lamp)
        if context.event.type != "resource.applied" and not context.requeued:
            return None
        match spec.mood:
            case "broken":
                raise RuntimeError("the bulb burst")
            case "secret":
                return Decision(emit=(Emit(type="lamp.lit", data={"password": "hunter2hunter2"}),))
            case "slow" if not context.requeued:
                return Decision(status={"lit": False}, completed=False, requeue_after_s=60)
        return Decision(status={"lit": True, "level": spec.level}, emit=(Emit(type="lamp.lit"),))


class Meter(Controller):
    """Counts what it sees, its own output included: that is asked for, and bounded."""

    NAME = "lamp-meter"
    WATCH = (Watch(kind="Lamp", type="lamp.lit"), Watch(kind="Lamp", type="lamp.counted", own=True))

    def reconcile(self, context: Context) -> Decision | None:
        count = int(context.resource.status.get("count", 0)) + 1
        return Decision(status={"count": count}, emit=(Emit(type="lamp.counted"),) if count < 3 else ())


LAMPS = Domain(
    name="lamps",
    kinds=(
        Kind(
            name="Lamp",
            plural="lamps",
            api_version="lamps.example/v1",
            spec=Lamp,
            controllers=(Switch(), Meter()),
        ),
    ),
)
REGISTRY = Registry((ORGANIZATION, LAMPS))


class MemoryCursor:
    """A cursor that outlives its process; `holder` None: free."""

    def __init__(self) -> None:
        self.place = Place()
        self.away = False

    async def claim(self) -> Place | None:
        return None if self.away else self.place

    async def save(self, place: Place) -> None:
        self.place = place


class Shop:
    """One control process that only does resources."""

    def __init__(self, store: AdversarialStore, bus: MemoryBus, cursor: MemoryCursor, clock: Moment) -> None:
        self.store, self.bus, self.clock = store, bus, clock
        self.runtime = Runtime(store, bus, clock)
        office = Office(policy=Policy(), signer=signer_for("control"))
        self.desk = IntentDesk(self.runtime, office, (TENANT,), REGISTRY)
        self.intake = Intake(self.runtime, bus, tenants=(TENANT,), concurrency=16)
        self.reconciler = Reconciler(self.runtime, REGISTRY, cursor, look_again_s=0.02)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        await self.runtime.catch_up()
        parts = (
            self.intake.consume("intents", "agentplane.*.intent.>", self.desk.act),
            self.runtime.follow(),
            self.reconciler.run(),
        )
        async with at_work(self.intake, *parts):
            yield self

    async def apply(self, kind: str, name: str, spec: dict[str, object], number: int | None = None) -> Event:
        intent = wish(kind, name, spec, number)
        await publish(self.bus, intent)
        return intent

    async def delete(self, kind: str, name: str) -> None:
        await publish(self.bus, request_delete(uuid.uuid4(), stream=stream(kind, name), actor="user:bob", now=NOW))

    def resource(self, kind: str, name: str) -> Resource:
        found = self.runtime.state.resources.get(stream(kind, name))
        assert found is not None
        return found

    async def quiet(self) -> list[StoredEvent]:
        """Wait until every event has been shown to every controller; all events."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                await self.reconciler.catch_up()
                if self.reconciler._position == await self.store.head():
                    return list(await self.store.read(0, 10_000))


NOW = Moment().now() - timedelta(minutes=1)


def stream(kind: str, name: str) -> StreamId:
    return StreamId(TENANT, kind, "default", name)


def wish(kind: str, name: str, spec: dict[str, object], number: int | None = None) -> Event:
    known = REGISTRY.kinds[kind]
    return request_apply(
        uuid.uuid4() if number is None else uuid.UUID(int=number),
        stream=stream(kind, name),
        api_version=known.api_version,
        spec=spec,
        actor="user:alice",
        now=NOW,
    )
