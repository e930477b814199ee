"""An id names one intent for ever: told again it is the same, with another body it is refused with both digests."""

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.bus.subjects import event_subject
from agentplane.events.cloudevents import encode
from agentplane.events.model import Append, Event, StreamId
from tests.domains import Shop, wish
from tests.scenario.shell import AdversarialStore, Shell, intent, stored
from tests.scenario.test_resource_story import World, world

__all__ = ["world"]


async def publish(bus: MemoryBus, event: Event) -> None:
    """Past the bus's own deduplication, as a message that comes much later."""
    subject = event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type)
    await bus.publish(subject, encode(event), message_id=str(uuid.uuid4()))


@pytest.fixture
async def shop(world: World) -> AsyncIterator[Shop]:
    async with world.shop().running() as shop:
        yield shop


FIRST = wish("Lamp", "hall", {"level": 1}, 1)


@pytest.mark.parametrize(
    "other",
    [
        replace(FIRST, data={**FIRST.data, "spec": {"level": 2}}),
        replace(FIRST, stream=replace(FIRST.stream, name="cellar")),
        replace(FIRST, actor="user:mallory"),
    ],
    ids=["another spec", "another resource", "another author"],
)
async def test_another_wish_under_the_same_id_is_refused(world: World, shop: Shop, other: Event) -> None:
    await publish(world.bus, FIRST)
    await stored(world.store, "resource.applied", 1)
    await publish(world.bus, other)
    await stored(world.store, "intent.rejected", 1)
    (rejected,) = [each.event for each in world.store._log if each.event.type == "intent.rejected"]
    assert rejected.data["code"] == "intent.duplicate-id"
    assert rejected.data["message"].count("sha256:") == 2
    assert shop.resource("Lamp", "hall").spec == {"level": 1}


@pytest.mark.parametrize(
    "change", [lambda e: replace(e, actor="user:mallory"), lambda e: replace(e, stream=renamed(e))]
)
async def test_another_run_under_the_same_id_is_refused(change: Callable[[Event], Event]) -> None:
    store, bus, first = AdversarialStore(), MemoryBus(), intent()
    async with Shell(store, bus).running():
        await publish(bus, first)
        await stored(store, "run.created", 1)
        await publish(bus, change(first))
        await stored(store, "intent.rejected", 1)
    codes = [each.event.data["code"] for each in store._log if each.event.type == "intent.rejected"]
    assert codes == ["intent.duplicate-id"]
    assert store.types().count("run.requested") == 1


def renamed(event: Event) -> StreamId:
    return replace(event.stream, name=f"other-{event.id.hex[:12]}")


async def test_another_tenants_id_says_nothing_about_it(world: World, shop: Shop) -> None:
    rival: Any = replace(FIRST, stream=replace(FIRST.stream, tenant="rival"))
    await world.store.append(Append(stream=rival.stream, expected_version=None, events=(rival,)))
    await publish(world.bus, FIRST)
    await stored(world.store, "intent.rejected", 1)
    (rejected,) = [each.event for each in world.store._log if each.event.type == "intent.rejected"]
    assert rejected.data["code"] == "intent.duplicate-id"
    assert "sha256" not in rejected.data["message"]
    assert shop.runtime.state.resources.get(FIRST.stream) is None
