"""Dead letters: retried by an intent, resolved on the record; controllers that hang; versions side by side."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.deadletters import RESOLVED, RETRY_REQUESTED, Letter, LetterState, fold
from agentplane.domains.model import Domain, Kind, Spec
from agentplane.domains.registry import Registry
from agentplane.domains.resource import DEAD_LETTERED
from agentplane.errors import Broken
from agentplane.events.model import Event, StoredEvent
from agentplane.events.upcasting import EventType
from agentplane.intents.deadletters import request_retry
from agentplane.metrics.counters import ABANDONED
from services.control.limits import MAX_BUSY, TimeLimit
from services.control.resources import Reconciler
from tests.domains import NOW, MemoryCursor, Shop
from tests.scenario.shell import AdversarialStore, Moment, publish, stored
from tests.scenario.world import TENANT


class Lamp(Spec):
    level: int = 1


class Switch(Controller):
    """Fails, hangs or works, as a test says."""

    NAME = "lamp-switch"
    WATCH = (Watch(kind="Lamp"),)

    def __init__(self) -> None:
        self.does: dict[str, str] = {}
        self.release = threading.Event()

    def reconcile(self, context: Context) -> Decision | None:
        match self.does.get(context.resource.name):
            case "fail":
                raise RuntimeError("the bulb burst")
            case "hang":
                self.release.wait()
            case "exit":
                raise SystemExit(3)
            case "nothing":
                return None
        return Decision(status={"lit": True}, message="lit", emit=(Emit(type="lamp.lit", data={"watt": 4}),))


class Lampshop(Shop):
    """A shop with lamps of our own."""

    def __init__(self, switch: Controller, store: AdversarialStore | None = None, *, events: Any = ()) -> None:
        super().__init__(store or AdversarialStore(), MemoryBus(), MemoryCursor(), Moment())
        lamp = Kind(name="Lamp", plural="lamps", api_version="lamps.example/v1", spec=Lamp, controllers=(switch,))
        self.registry = Registry((Domain(name="lamps", kinds=(lamp,), events=events),))
        self.reconciler = Reconciler(self.runtime, self.registry, MemoryCursor(), look_again_s=0.02, limit_s=1.0)

    async def letters(self) -> tuple[Letter, ...]:
        return fold(await self.store.read(0, 10_000))

    async def ask(self, letter: Letter, number: int) -> Event:
        intent = request_retry(uuid.UUID(int=number), tenant=TENANT, letter=letter.name, actor="user:bob", now=NOW)
        await publish(self.bus, intent)
        return intent


@pytest.fixture
def switch() -> Iterator[Switch]:
    made = Switch()
    yield made
    made.release.set()


def types(events: list[StoredEvent], name: str) -> list[str]:
    return [each.event.type for each in events if each.event.stream.name == name]


async def test_a_retry_shows_the_event_again_and_resolves_the_letter(switch: Switch) -> None:
    switch.does = {"hall": "fail"}
    async with Lampshop(switch).running() as shop:
        applied = await shop.apply("Lamp", "hall", {})
        await stored(shop.store, DEAD_LETTERED)
        (letter,) = await shop.letters()
        first = await shop.ask(letter, 1)
        await stored(shop.store, DEAD_LETTERED, 2)  # it fails again
        (again,) = await shop.letters()
        switch.does = {}
        second = await shop.ask(letter, 2)
        await stored(shop.store, RESOLVED)
        await publish(shop.bus, first)  # delivered twice: wanted once
        events = await shop.quiet()
        (done,) = await shop.letters()
        lamp = shop.resource("Lamp", "hall")
    assert (letter.state, letter.code, letter.resource) == (LetterState.OPEN, "controller.RuntimeError", "hall")
    assert (again.state, again.attempts, done.state) == (LetterState.OPEN, 2, LetterState.RESOLVED)
    assert types(events, letter.name) == [DEAD_LETTERED, RETRY_REQUESTED, DEAD_LETTERED, RETRY_REQUESTED, RESOLVED]
    assert (lamp.status, lamp.controllers["lamp-switch"].state) == ({"lit": True}, "completed")
    lit = next(each.event for each in events if each.event.type == "lamp.lit")
    assert (lit.causation_id, lit.correlation_id) == (second.id, applied.id)
    assert done.retried_by == "user:bob"


async def test_a_retry_that_is_shown_twice_is_carried_out_once(switch: Switch) -> None:
    switch.does = {"hall": "fail"}
    store = AdversarialStore()
    async with Lampshop(switch, store).running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(store, DEAD_LETTERED)
        (letter,) = await shop.letters()
        switch.does = {}
        await shop.ask(letter, 1)
        await stored(store, RESOLVED)
        before = await shop.quiet()
    async with Lampshop(switch, store).running() as anew:  # its cursor was never saved: every event is shown again
        assert await anew.quiet() == before


async def test_a_controller_that_has_nothing_to_say_any_more_resolves_it_too(switch: Switch) -> None:
    switch.does = {"hall": "fail"}
    async with Lampshop(switch).running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(shop.store, DEAD_LETTERED)
        switch.does = {"hall": "nothing"}
        await shop.ask((await shop.letters())[0], 1)
        await stored(shop.store, RESOLVED)


async def test_unknown_and_resolved_letters_are_not_retried(switch: Switch) -> None:
    switch.does = {"hall": "fail"}
    async with Lampshop(switch).running() as shop:
        await shop.apply("Lamp", "hall", {})
        await stored(shop.store, DEAD_LETTERED)
        (letter,) = await shop.letters()
        switch.does = {}
        await shop.ask(letter, 1)
        await stored(shop.store, RESOLVED)
        await shop.ask(letter, 2)
        await publish(
            shop.bus, request_retry(uuid.UUID(int=3), tenant=TENANT, letter="none", actor="user:bob", now=NOW)
        )
        await stored(shop.store, "intent.rejected", 2)
        events = await shop.quiet()
    codes = [each.event.data["code"] for each in events if each.event.type == "intent.rejected"]
    assert set(codes) == {"deadletter.resolved", "deadletter.unknown"}


async def test_a_controller_that_hangs_stops_nobody_else_and_is_counted(switch: Switch) -> None:
    counted = ABANDONED.labels("lamp-switch")._value.get()
    switch.does = {"stuck": "hang", "rude": "exit"}
    async with Lampshop(switch).running() as shop:
        for name in ("rude", "stuck", "next"):
            await shop.apply("Lamp", name, {})
        await stored(shop.store, DEAD_LETTERED, 2)
        await stored(shop.store, "lamp.lit")
        letters = {each.resource: each for each in await shop.letters()}
        assert shop.resource("Lamp", "next").status == {"lit": True}
        switch.release.set()
        await shop.ask(letters["stuck"], 1)
        await stored(shop.store, RESOLVED)
        assert shop.resource("Lamp", "stuck").status == {"lit": True}
    assert {name: each.code for name, each in letters.items()} == {
        "rude": "controller.exit",
        "stuck": "controller.timeout",
    }
    assert ABANDONED.labels("lamp-switch")._value.get() == counted + 1


async def test_no_controller_holds_more_than_a_few_threads() -> None:
    limit, release = TimeLimit(0.01), threading.Event()
    try:
        for _ in range(MAX_BUSY):
            with pytest.raises(Broken, match="did not decide"):
                await limit.call("lamp-switch", release.wait)
        with pytest.raises(Broken, match="still busy"):
            await limit.call("lamp-switch", lambda: None)
        assert await limit.call("lamp-meter", lambda: 3) == 3  # another one's
    finally:
        release.set()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await limit.call("lamp-switch", lambda: 4) == 4
            except Broken:
                await asyncio.sleep(0.01)
            else:
                break


async def test_decisions_in_time_share_a_thread_and_a_late_one_takes_its_own_away() -> None:
    limit, release = TimeLimit(20), threading.Event()
    first = await limit.call("lamp-switch", threading.current_thread)
    assert await limit.call("lamp-meter", threading.current_thread) is first
    with pytest.raises(ZeroDivisionError):
        await limit.call("lamp-meter", lambda: 1 // 0)
    assert await limit.call("lamp-meter", threading.current_thread) is first
    side_by_side = await asyncio.gather(*(limit.call("lamp-switch", threading.current_thread) for _ in range(3)))
    assert len(set(side_by_side)) == 3
    hurried = TimeLimit(0.01)
    late: list[threading.Thread] = []

    def hang() -> None:
        late.append(threading.current_thread())
        release.wait()

    with pytest.raises(Broken, match="did not decide"):
        await hurried.call("lamp-switch", hang)
    release.set()
    await asyncio.to_thread(late[0].join, 20)
    assert not late[0].is_alive()


class Meter(Controller):
    """Reads what the switch says, in the form that its version knows."""

    NAME = "lamp-meter"
    WATCH = (Watch(kind="Lamp", type="lamp.lit"),)

    def __init__(self, field: str) -> None:
        self._field = field

    def reconcile(self, context: Context) -> Decision | None:
        return Decision(status={"said": f"{self._field} {context.event.data[self._field]}"})


IN_LUMEN = EventType(name="lamp.lit", upcasts=(lambda data: {"lumen": data["watt"] * 10},))


class Lumens(Switch):
    """The newer switch."""

    VERSION = 2

    def reconcile(self, context: Context) -> Decision | None:
        return Decision(status={"lit": True}, emit=(Emit(type="lamp.lit", data={"lumen": 40}),))


def shop_of(store: AdversarialStore, switch: Controller, meter: Controller, events: Any) -> Lampshop:
    made = Lampshop(switch, store, events=events)
    lamp = Kind(name="Lamp", plural="lamps", api_version="lamps.example/v1", spec=Lamp, controllers=(switch, meter))
    made.registry = Registry((Domain(name="lamps", kinds=(lamp,), events=events),))
    made.reconciler = Reconciler(made.runtime, made.registry, MemoryCursor(), look_again_s=0.02)
    return made


async def test_what_an_old_control_wrote_is_shown_to_the_new_one_in_todays_form(switch: Switch) -> None:
    store = AdversarialStore()
    async with Lampshop(switch, store).running() as old:
        await old.apply("Lamp", "hall", {})
        await stored(store, "lamp.lit")
        await old.quiet()
    async with shop_of(store, Lumens(), Meter("lumen"), (IN_LUMEN,)).running() as new:
        events = await new.quiet()
        assert new.resource("Lamp", "hall").status == {"lit": True, "said": "lumen 40"}
    assert [each.event.data for each in events if each.event.type == "lamp.lit"] == [{"watt": 4}]  # as it was written


async def test_what_is_too_new_for_the_old_control_waits_as_a_letter_and_the_new_one_takes_it(switch: Switch) -> None:
    store = AdversarialStore()
    new = shop_of(store, Lumens(), Controllerless(), (IN_LUMEN,))
    async with new.running():
        await new.apply("Lamp", "hall", {})
        await stored(store, "lamp.lit")
        await new.quiet()
    async with shop_of(store, switch, Meter("watt"), ()).running() as old:
        await stored(store, DEAD_LETTERED)
        events = await old.quiet()
        (letter,) = await old.letters()
    assert (letter.controller, letter.code) == ("lamp-meter", "event.newer")
    assert [each.event.type_version for each in events if each.event.type == "lamp.lit"] == [2]
    async with shop_of(store, Lumens(), Meter("lumen"), (IN_LUMEN,)).running() as upgraded:
        await stored(store, RESOLVED)
        await upgraded.quiet()
        assert upgraded.resource("Lamp", "hall").status == {"lit": True, "said": "lumen 40"}
        (letter,) = await upgraded.letters()
    assert letter.state is LetterState.RESOLVED


class Controllerless(Controller):
    """Watches nothing that happens."""

    NAME = "lamp-idle"
    WATCH = (Watch(kind="Lamp", type="lamp.never"),)

    def reconcile(self, context: Context) -> Decision | None:
        raise AssertionError(context)
