"""A history through today's controllers: the same is the same, a change is found and fails until it is declared."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.checks.check import Check
from agentplane.checks.report import Difference, Report
from agentplane.controllers import leases, versions
from agentplane.controllers.recording import record_rules, rules_for
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.model import Domain, Kind
from agentplane.domains.registry import Registry
from agentplane.events.model import StoredEvent
from agentplane.placement import rank
from agentplane.policy import Policy
from tests.domains import REGISTRY as LAMP_REGISTRY
from tests.domains import Lamp, MemoryCursor, Meter, Shop, Switch
from tests.scenario.shell import AdversarialStore, Moment, stored
from tests.scenario.wishes import wish
from tests.scenario.world import TENANT, World, signer_for

ANY_KEY = signer_for("control")


def check(events: Iterable[StoredEvent], registry: Registry = LAMP_REGISTRY, since: int = 0) -> Report:
    one = Check(registry, ANY_KEY, lambda head: head.sequence >= since)
    for each in events:
        one.take(each)
    return one.report()


def registry_of(*controllers: Controller) -> Registry:
    lamp = Kind(name="Lamp", plural="lamps", api_version="lamps.example/v1", spec=Lamp, controllers=controllers)
    return Registry((*LAMP_REGISTRY.domains[:1], Domain(name="lamps", kinds=(lamp,))))


# --- controllers of domains ------------------------------------------------------------------------------------------


@pytest.fixture
async def lamps() -> list[StoredEvent]:
    """Lamps that are lit, denied, looked at again, broken and deleted, with two controllers that see each other."""
    from agentplane.bus.memory import MemoryBus

    clock = Moment()
    async with Shop(AdversarialStore(), MemoryBus(), MemoryCursor(), clock).running() as shop:
        await shop.apply("Lamp", "hall", {"level": 3})
        await shop.apply("Lamp", "attic", {"mood": "forbidden"})
        await shop.apply("Lamp", "cellar", {"mood": "broken"})
        await shop.apply("Lamp", "stairs", {"mood": "slow"})
        await stored(shop.store, "resource.status-changed", 7)
        await shop.quiet()
        clock.time += timedelta(seconds=61)
        await stored(shop.store, "lamp.lit", 2)
        await shop.apply("Lamp", "hall", {"level": 4})
        await stored(shop.store, "lamp.lit", 3)
        await shop.delete("Lamp", "hall")
        await stored(shop.store, "resource.deleted", 1)
        return await shop.quiet()


def test_unchanged_controllers_decide_the_same(lamps: list[StoredEvent]) -> None:
    report = check(lamps)
    assert report.passed
    assert report.differences == ()
    assert report.same == report.decisions >= 12
    assert [(each.controller, each.code) for each in report.poison] == [("lamp-switch", "controller.RuntimeError")]
    assert report.unjudged == ()


class Brighter(Switch):
    """The switch, changed and not declared."""

    def reconcile(self, context: Context) -> Decision | None:
        decision = super().reconcile(context)
        if decision is None or "level" not in decision.status:
            return decision
        return replace(decision, status={**decision.status, "level": 9}, emit=(*decision.emit, Emit(type="lamp.hot")))


class BrighterDeclared(Brighter):
    VERSION = 2


def of(report: Report, resource: str) -> list[Difference]:
    return [each for each in report.differences if each.resource == f"Lamp/default/{resource}"]


def test_a_change_without_a_bump_fails_and_says_field_by_field(lamps: list[StoredEvent]) -> None:
    report = check(lamps, registry_of(Brighter(), Meter()))
    assert not report.passed
    first = of(report, "hall")[0]
    assert (first.controller, first.recorded_version, first.version, first.what) == (
        "lamp-switch",
        1,
        1,
        "decides otherwise",
    )
    changes = {each.path: (each.before, each.after) for each in first.changes}
    assert changes["Lamp/hall resource.status-changed.data.patch.level"] == (3, 9)
    assert any(path.startswith("Lamp/hall lamp.hot") for path in changes)
    assert {each.controller for each in report.differences} == {"lamp-switch"}


def test_with_a_bump_it_is_declared_and_passes(lamps: list[StoredEvent]) -> None:
    report = check(lamps, registry_of(BrighterDeclared(), Meter()))
    assert report.passed
    assert report.differences
    assert all(each.declared for each in report.differences)


class Fractional(Switch):
    """The switch, saying for some lamps what no store takes."""

    def __init__(self, mood: str) -> None:
        self.mood = mood

    def reconcile(self, context: Context) -> Decision | None:
        spec = context.spec
        assert isinstance(spec, Lamp)
        return Decision(status={"level": 1.5}) if spec.mood == self.mood else super().reconcile(context)


def test_what_no_store_would_take_is_a_difference_and_ends_no_check(lamps: list[StoredEvent]) -> None:
    report = check(lamps, registry_of(Fractional("calm"), Meter()))
    assert not report.passed
    paths = {each.path: each.after for each in of(report, "hall")[0].changes}
    assert paths["Lamp/hall resource.status-changed.data.refused"] == "event.data"


def test_what_the_store_refused_then_is_poison_and_is_not_judged(lamps: list[StoredEvent]) -> None:
    def refused(stored: StoredEvent) -> StoredEvent:
        if stored.event.type != "controller.dead-lettered":
            return stored
        return replace(stored, event=replace(stored.event, data={**stored.event.data, "code": "event.data"}))

    report = check([refused(each) for each in lamps], registry_of(Fractional("broken"), Meter()))
    assert report.passed
    assert report.differences == ()
    assert [each.code for each in report.poison] == ["event.data"]


def test_only_what_was_asked_for_is_judged(lamps: list[StoredEvent]) -> None:
    report = check(lamps, registry_of(Brighter(), Meter()), since=lamps[-1].sequence + 1)
    assert report.passed
    assert report.decisions == 0


class Mended(Switch):
    def reconcile(self, context: Context) -> Decision | None:
        assert isinstance(context.spec, Lamp)
        return Decision(message="mended") if context.spec.mood == "broken" else super().reconcile(context)


class Broken(Switch):
    def reconcile(self, context: Context) -> Decision | None:
        assert isinstance(context.spec, Lamp)
        if context.spec.mood == "calm" and context.event.type == "resource.applied":
            raise LookupError("dark")
        return super().reconcile(context)


class Shy(Switch):
    def reconcile(self, context: Context) -> Decision | None:
        return None


def test_what_failed_and_what_fails_now_are_told_apart(lamps: list[StoredEvent]) -> None:
    (mended,) = check(lamps, registry_of(Mended(), Meter())).differences
    assert (mended.what, mended.resource) == ("fails no more", "Lamp/default/cellar")
    assert {each.what for each in check(lamps, registry_of(Broken(), Meter())).differences} == {"fails now"}
    shy = check(lamps, registry_of(Shy(), Meter()))
    assert {each.what for each in shy.differences} == {"decides no more", "decides otherwise", "fails no more"}


class Talker(Switch):
    """Decides also where it had nothing to say: upon a deletion."""

    def reconcile(self, context: Context) -> Decision | None:
        if context.event.type == "lamp.counted":
            return Decision(status={"seen": True})
        return super().reconcile(context)


class Newcomer(Controller):
    NAME = "lamp-newcomer"
    WATCH = (Watch(kind="Lamp", type="resource.applied"),)

    def reconcile(self, context: Context) -> Decision | None:
        return Decision(status={"welcome": True})


def test_silence_that_would_be_broken_now_is_a_difference(lamps: list[StoredEvent]) -> None:
    report = check(lamps, registry_of(Talker(), Meter()))
    assert {(each.what, each.event_type, each.declared) for each in report.differences} == {
        ("decides now", "lamp.counted", False)
    }
    assert check(lamps).silences >= 0


def test_a_new_controller_declares_itself_and_one_that_is_gone_does_not(lamps: list[StoredEvent]) -> None:
    joined = check(lamps, registry_of(Switch(), Meter(), Newcomer()))
    assert joined.passed
    assert {(each.controller, each.recorded_version) for each in joined.differences} == {("lamp-newcomer", 0)}
    left = check(lamps, registry_of(Switch()))
    assert not left.passed
    assert {(each.controller, each.what) for each in left.differences} == {("lamp-meter", "is gone")}


def test_a_history_with_holes_is_not_judged_where_they_are(lamps: list[StoredEvent]) -> None:
    missing = next(each.sequence for each in lamps if each.event.stream.name == "hall")
    report = check([each for each in lamps if each.sequence != missing])
    assert report.passed
    assert {each.why for each in report.unjudged} <= {
        "earlier events of its stream are not in this history",
        "the wish is not in this history",
    }
    assert report.unjudged


# --- controllers of runs ---------------------------------------------------------------------------------------------


def ruled(policy: Policy | None = None) -> World:
    """A world whose decisions name the rules, which are recorded."""
    world = World("exec-1", "exec-2", policy=policy)
    patience = world.patience
    waits = (patience.lease_seconds, patience.start_grace_s, patience.run_grace_s)
    rules = rules_for(TENANT, world.policy, world.scheme.inventory, waits, dict(versions.VERSIONS))
    world.log.append((record_rules(TENANT, rules, world.now),), world.now)
    world.fold()
    digests = {TENANT: rules.digest()}
    world.office, world.scheme = replace(world.office, rules=digests), replace(world.scheme, rules=digests)
    world.patience = replace(patience, rules=digests)
    return world


@pytest.fixture
def runs() -> list[StoredEvent]:
    """A tenant's part of a log: a run that waits, is placed, lost, placed again and succeeds; a cancelled one."""
    world = ruled()
    name = world.request()
    world.place(name)  # nobody was heard of yet: it waits
    world.beat("exec-1")
    world.beat("exec-2")
    world.place(name)
    first = world.run(name).holder or ""
    other = "exec-2" if first == "exec-1" else "exec-1"
    told = world.assignment(name, first)
    world.report(world.executors[first].started(told), first)
    world.later(31)
    world.beat(other)
    world.expire(name)
    world.place(name)
    again = world.assignment(name, other)
    world.report(world.executors[other].started(again), other)
    world.report(world.executors[other].finished(again), other)
    waiting = world.request(2, wish())
    world.take(world.cancel(waiting))
    world.request(3, wish({"kind": "Bundle"}))
    return [each for each in world.log.events if each.event.stream.tenant == TENANT]


def test_decisions_about_runs_come_out_the_same_without_the_platforms_own_events(runs: list[StoredEvent]) -> None:
    report = check(runs)
    assert report.differences == ()
    assert report.unjudged == ()
    assert report.same == report.decisions == 11
    types = [each.event.type for each in runs]
    assert {"run.waiting", "run.lease-expired", "run.requeued", "run.superseded", "run.refused"} <= set(types)


def test_a_change_of_placement_fails_until_it_is_declared(
    runs: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank, "KVM", 150)
    report = check(runs)
    assert {each.controller for each in report.differences} == {"placement"}
    assert not report.passed
    monkeypatch.setitem(versions.VERSIONS, "placement", 2)
    declared = check(runs)
    assert declared.passed
    assert len(declared.differences) == len(report.differences)


def test_changes_of_the_other_controllers_are_found_as_well(
    runs: list[StoredEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(name: str, attribute: Any, value: Any) -> set[str]:
        with monkeypatch.context() as patch:
            patch.setattr(attribute, name, value)
            return {each.controller for each in check(runs).differences}

    from agentplane.controllers import endings, reports
    from agentplane.controllers import runs as admission

    assert changed("MAX_ATTEMPTS", endings, 1) == {"leases"}
    assert changed("_reason", leases, lambda *_: None) == {"leases"}
    assert changed("_may_succeed", reports, lambda *_: False) == {"reports"}
    assert changed("_next", admission, lambda created, _: ("run.waiting", created)) == {"runs"}


def test_the_policy_that_was_in_force_decides_not_todays(runs: list[StoredEvent]) -> None:
    """A run that was refused by an older policy is refused again by it, whatever is configured now."""
    world = ruled(Policy(tenants=("rival",)))
    world.request()
    events = [each for each in world.log.events if each.event.stream.tenant == TENANT]
    report = check(events)
    assert (report.same, report.differences, report.unjudged) == (1, (), ())
    assert "rival" not in repr(events)


def test_what_was_decided_before_rules_were_recorded_is_said_to_be_unjudged() -> None:
    world = World()
    world.leased()
    report = check([each for each in world.log.events if each.event.stream.tenant == TENANT])
    assert report.passed
    assert {each.why for each in report.unjudged} == {"it was taken before rules were recorded"}


def test_decisions_stay_small(runs: list[StoredEvent]) -> None:
    from agentplane.events.digest import encode_data

    sizes = {
        each.event.type: len(encode_data({"decided": each.event.data["decided"]}))
        for each in runs
        if each.event.data.get("decided")
    }
    assert max(sizes.values()) < 2048, sizes
