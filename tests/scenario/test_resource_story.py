"""Resources from wish to status, over a store and a bus in memory that lose races and repeat themselves."""

import uuid
from datetime import timedelta

import pytest
from msgspec.structs import replace

from agentplane.bus.memory import MemoryBus
from agentplane.domains.resource import APPLIED, APPLY_REQUESTED, DEAD_LETTERED, DELETED, STATUS_CHANGED
from agentplane.events.model import Event, Phase, StoredEvent
from agentplane.store.outbox import Place
from tests.domains import MemoryCursor, Shop, wish
from tests.scenario.shell import AWAY, LOST_RACE, AdversarialStore, Moment, publish, stored, times


class World:
    def __init__(self) -> None:
        self.store, self.bus, self.cursor, self.clock = AdversarialStore(), MemoryBus(), MemoryCursor(), Moment()

    def shop(self) -> Shop:
        return Shop(self.store, self.bus, self.cursor, self.clock)


@pytest.fixture
def world() -> World:
    return World()


def types(events: list[StoredEvent]) -> list[str]:
    return [each.event.type for each in events]


async def test_a_wish_becomes_a_fact_a_status_and_what_the_controller_emits(world: World) -> None:
    async with world.shop().running() as shop:
        intent = await shop.apply("Lamp", "hall", {"level": 3})
        await stored(world.store, "lamp.counted", 2)
        events = await shop.quiet()
        lamp = shop.resource("Lamp", "hall")
    assert types(events)[:4] == [APPLY_REQUESTED, APPLIED, STATUS_CHANGED, "lamp.lit"]
    applied, status = events[1].event, events[2].event
    assert (applied.causation_id, status.causation_id) == (intent.id, applied.id)
    assert {each.event.correlation_id for each in events} == {intent.id}
    assert {each.event.stream.tenant for each in events} == {intent.stream.tenant}
    assert lamp.status == {"lit": True, "level": 3, "count": 3}
    assert lamp.controllers["lamp-switch"].state == "completed"


async def test_a_controller_sees_its_own_output_only_when_it_asks(world: World) -> None:
    """The switch watches lamp.* but not its own; the meter asks for its own, and stops at three."""
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(world.store, "lamp.counted", 2)
        events = await shop.quiet()
    by = [each.event.actor for each in events if each.event.type == STATUS_CHANGED]
    assert by == ["controller:lamp-switch", *["controller:lamp-meter"] * 3]


async def test_an_unchanged_document_yields_no_fact_and_the_same_generation(world: World) -> None:
    async with world.shop().running() as shop:
        for spec in ({"level": 1}, {}, {"mood": "calm", "level": 1}):  # defaults count as written
            intent = await shop.apply("Lamp", "hall", dict(spec))
            await stored(world.store, APPLY_REQUESTED, 1)
            await world_has(shop, intent.id)
        events = await shop.quiet()
        assert shop.resource("Lamp", "hall").generation == 1
        await shop.apply("Lamp", "hall", {"level": 2})
        await stored(world.store, APPLIED, 2)
        assert shop.resource("Lamp", "hall").generation == 2
    assert types(events).count(APPLIED) == 1


async def world_has(shop: Shop, id_: uuid.UUID) -> None:
    async for _ in shop.store.wakeups():
        if any(each.event.id == id_ for each in await shop.store.read(0, 10_000)):
            return


async def test_a_repeated_wish_is_wanted_once_even_after_another_one(world: World) -> None:
    async with world.shop().running() as shop:
        first = await shop.apply("Lamp", "hall", {"level": 1}, number=1)
        await world_has(shop, first.id)
        second = await shop.apply("Lamp", "hall", {"level": 2}, number=2)
        await world_has(shop, second.id)
        before = types(await shop.quiet())
        await publish(world.bus, first)
        third = await shop.apply("Lamp", "other", {})
        await world_has(shop, third.id)
        await shop.intake.drain()
        events = await shop.quiet()
        lamp = shop.resource("Lamp", "hall")
    assert (lamp.generation, lamp.spec) == (2, {"level": 2})
    assert [each.event.type for each in events if each.event.stream.name == "hall"] == before


async def test_lost_races_and_a_store_that_is_away_cost_nothing(world: World) -> None:
    world.store.before = times(3, LOST_RACE)
    world.store.after = times(2, AWAY)  # stored, and nobody was told
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(world.store, "lamp.counted", 2)
        events = await shop.quiet()
    assert types(events).count(APPLIED) == types(events).count("lamp.lit") == 1
    assert types(events).count(STATUS_CHANGED) == 4


async def test_after_a_crash_events_are_shown_again_and_found_handled(world: World) -> None:
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(world.store, "lamp.counted", 2)
        before = await shop.quiet()
    world.cursor.place = Place()  # the cursor was never saved
    async with world.shop().running() as shop:
        assert await shop.quiet() == before


async def test_two_processes_that_both_believe_they_hold_the_cursor_decide_once(world: World) -> None:
    async with world.shop().running() as one, world.shop().running() as two:
        two.reconciler._cursor = MemoryCursor()
        for number in range(10):
            await one.apply("Lamp", f"hall-{number}", {})
        await stored(world.store, "lamp.counted", 20)
        await two.quiet()
        events = await one.quiet()
    assert types(events).count("lamp.lit") == 10
    assert types(events).count(STATUS_CHANGED) == 40


@pytest.mark.parametrize(("mood", "code"), [("broken", "controller.RuntimeError"), ("secret", "store.secret")])
async def test_poison_leaves_a_dead_letter_and_stops_nobody_else(world: World, mood: str, code: str) -> None:
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "bad", {"mood": mood})
        await shop.apply("Lamp", "good", {})
        await stored(world.store, DEAD_LETTERED)
        await stored(world.store, "lamp.counted", 2)
        events = await shop.quiet()
        bad = shop.resource("Lamp", "bad")
    letters = [each.event for each in events if each.event.type == DEAD_LETTERED]
    assert [letter.data["code"] for letter in letters] == [code]
    assert letters[0].data["controller"] == "lamp-switch"
    assert (letters[0].data["name"], letters[0].data["eventType"]) == ("bad", APPLIED)
    assert bad.controllers["lamp-switch"].state == "dead-letter"
    assert "hunter2" not in repr(events)


async def test_a_denied_controller_says_so_and_emits_nothing(world: World) -> None:
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {"mood": "forbidden"})
        await stored(world.store, STATUS_CHANGED)
        events = await shop.quiet()
        progress = shop.resource("Lamp", "hall").controllers["lamp-switch"]
    assert progress.state == "denied"
    assert "lamp.lit" not in types(events)


async def test_what_asked_to_be_looked_at_again_is_when_its_time_has_come(world: World) -> None:
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {"mood": "slow"})
        await stored(world.store, STATUS_CHANGED)
        early = await shop.quiet()
        progress = shop.resource("Lamp", "hall").controllers["lamp-switch"]
        assert (progress.state, "lamp.lit" in types(early)) == ("progressing", False)
        world.clock.time += timedelta(seconds=61)
        await stored(world.store, "lamp.lit")
        await shop.quiet()
        assert shop.resource("Lamp", "hall").status["lit"] is True
        assert shop.runtime.state.resources.due() == ()


async def test_what_is_not_understood_is_rejected_and_nothing_else_is_stored(world: World) -> None:
    async with world.shop().running():
        for bad in (
            wish("Lamp", "hall", {"level": "high"}),
            wish("Lamp", "hall", {"colour": "red"}),
            wish("Lamp", "Not A Label", {}),
        ):
            await publish(world.bus, bad)
        await stored(world.store, "intent.rejected", 3)
    assert set(world.store.types()) == {"intent.rejected"}


async def test_a_finalizer_holds_a_deletion_until_its_controller_lets_go(world: World) -> None:
    spec = {"displayName": "Acme", "owner": {"name": "Ada", "email": "ada@acme.example"}}
    async with world.shop().running() as shop:
        await shop.apply("Organization", "acme", dict(spec))
        await stored(world.store, "organization.activated")
        first = shop.resource("Organization", "acme")
        await shop.delete("Organization", "acme")
        await stored(world.store, DELETED)
        events = await shop.quiet()
        gone = shop.resource("Organization", "acme")
        await shop.apply("Organization", "acme", dict(spec))
        await stored(world.store, "organization.activated", 2)
        again = shop.resource("Organization", "acme")
    assert first.finalizers == ("organization.agentplane.io/offboarding",)
    assert types(events)[-5:] == [
        "resource.delete-requested",
        "resource.deletion-requested",
        STATUS_CHANGED,
        "organization.offboarded",
        DELETED,
    ]
    assert (gone.exists, again.exists, again.generation) == (False, True, 1)
    assert again.uid != first.uid


async def test_finalizers_that_nobody_removes_are_taken_away_by_hand_one_by_one(world: World) -> None:
    """While it is being deleted, fewer of them is all that it takes: no other spec, none new."""

    def with_finalizers(*names: str, level: int = 1) -> Event:
        return replace_wish(wish("Lamp", "hall", {"level": level}), names)

    async with world.shop().running() as shop:
        await publish(world.bus, with_finalizers("a.example/one", "b.example/two"))
        await stored(world.store, "lamp.counted", 2)
        await shop.delete("Lamp", "hall")
        await stored(world.store, "resource.deletion-requested")
        refused = (
            with_finalizers("a.example/one", level=2),
            with_finalizers("a.example/one", "b.example/two"),
            with_finalizers("c.example/three"),
        )
        for intent in refused:
            await publish(world.bus, intent)
        await stored(world.store, "intent.rejected", len(refused))
        await publish(world.bus, with_finalizers("b.example/two"))
        await stored(world.store, APPLIED, 2)
        held = shop.resource("Lamp", "hall")
        await publish(world.bus, with_finalizers())
        await stored(world.store, DELETED)
        gone = shop.resource("Lamp", "hall")
    assert (held.exists, held.deleting, held.finalizers, held.generation) == (True, True, ("b.example/two",), 1)
    assert (gone.exists, gone.finalizers) == (False, ())


def replace_wish(intent: Event, finalizers: tuple[str, ...]) -> Event:
    return replace(intent, data={**intent.data, "finalizers": list(finalizers)})


async def test_internal_and_intent_phases_are_told_apart(world: World) -> None:
    async with world.shop().running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(world.store, "lamp.lit")
        events = await shop.quiet()
    assert {each.event.type for each in events if each.event.phase is Phase.INTENT} == {APPLY_REQUESTED}
