"""The daemon's shell on a store and a bus that fail: nothing is lost, done twice or swallowed."""

import asyncio
import json
import uuid
from itertools import count

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.errors import Transient
from agentplane.events import cloudevents
from agentplane.events.model import Append
from tests.scenario.shell import AWAY, LOST_RACE, AdversarialStore, Host, Moment, Shell, cancel, intent, publish, times
from tests.scenario.shell import stored as until
from tests.scenario.world import RUN_STORY, TENANT


def story(store: AdversarialStore) -> list[str]:
    return [s.event.type for s in store._log if s.event.stream.kind == "Run" and s.event.type != "run.waiting"]


async def one_run(store: AdversarialStore, bus: MemoryBus, host: Host, *, copies: int = 1) -> None:
    """A whole run, every message of it published so many times."""
    wanted = intent()
    for _ in range(copies):
        await publish(bus, wanted)
    told = await host.told(wanted.stream.name)
    host.work(told)
    for _ in range(copies):
        for data in reversed(host.journal):
            await host.report(data)
    await host.committed(2)
    await until(store, "run.finished")


@pytest.fixture
def store() -> AdversarialStore:
    return AdversarialStore()


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


async def test_a_run_through_the_shell(store: AdversarialStore, bus: MemoryBus) -> None:
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus))
    assert story(store) == RUN_STORY


async def test_every_message_three_times_and_out_of_order_is_one_run(store: AdversarialStore, bus: MemoryBus) -> None:
    bus.faults.duplicate = True
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus), copies=3)
    assert story(store) == RUN_STORY


async def test_every_race_lost_at_first_ends_in_the_same_story(store: AdversarialStore, bus: MemoryBus) -> None:
    turn = count()

    def always_first(_: tuple[Append, ...]) -> None:
        if next(turn) % 2 == 0:
            raise LOST_RACE

    store.before = always_first
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus))
    assert story(store) == RUN_STORY


async def test_a_race_that_is_always_lost_is_given_up_and_tried_later(store: AdversarialStore, bus: MemoryBus) -> None:
    store.before = times(25, LOST_RACE)
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus))
    assert story(store) == RUN_STORY


async def test_a_database_that_is_away_for_a_while_costs_time_only(store: AdversarialStore, bus: MemoryBus) -> None:
    store.before = times(6, AWAY)
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus))
    assert story(store) == RUN_STORY


async def test_an_answer_that_is_lost_after_the_commit_changes_nothing(store: AdversarialStore, bus: MemoryBus) -> None:
    turn = count()

    def lose_the_answer(_: tuple[Append, ...]) -> None:
        if next(turn) % 2 == 0:
            raise AWAY

    store.after = lose_the_answer
    async with Shell(store, bus).running():
        await one_run(store, bus, Host(bus))
    assert story(store) == RUN_STORY


@pytest.mark.parametrize("stage", range(6))
async def test_a_process_that_dies_after_any_append_is_replaced_by_one_that_goes_on(
    store: AdversarialStore, bus: MemoryBus, stage: int
) -> None:
    """The first process stores so many decisions and dies in the next; the second one gets every message again."""
    left, died = [stage], asyncio.Event()

    def die(_: tuple[Append, ...]) -> None:
        left[0] -= 1
        if left[0] < 0:
            died.set()
            raise Transient("dead", code="test.dead", delay_s=60)

    store.before, host, clock = die, Host(bus), Moment()
    async with Shell(store, bus, clock).running():
        attempt = asyncio.create_task(one_run(store, bus, host))
        death = asyncio.create_task(died.wait())
        await asyncio.wait({attempt, death}, return_when=asyncio.FIRST_COMPLETED)
        assert died.is_set(), "this stage is beyond the story"
        attempt.cancel()
        await asyncio.gather(attempt, return_exceptions=True)
    store.before = lambda _: None
    bus._responders.clear()
    bus.redeliver()
    async with Shell(store, bus, clock).running():
        await finish(store, bus, host)
    assert story(store) == RUN_STORY


async def finish(store: AdversarialStore, bus: MemoryBus, host: Host) -> None:
    """Whatever of the run is missing: the person repeats the wish, the executor its journal."""
    wanted = intent()
    await publish(bus, wanted)
    if not host.journal:
        host.work(await host.told(wanted.stream.name))
    for data in host.journal:
        await host.report(data)
    await host.committed(2)
    await until(store, "run.finished")


async def test_two_processes_side_by_side_do_everything_once(store: AdversarialStore, bus: MemoryBus) -> None:
    async with Shell(store, bus).running(), Shell(store, bus).running():
        await one_run(store, bus, Host(bus), copies=2)
    assert story(store) == RUN_STORY


@pytest.mark.parametrize(
    ("subject", "data", "code"),
    [
        (f"agentplane.{TENANT}.intent.Run.run.requested", b"not json", "cloudevent.json"),
        (f"agentplane.{TENANT}.intent.Run.run.requested", b"\xff\xfe", "cloudevent.json"),
        (f"agentplane.{TENANT}.intent.Run.run.requested", b"[" * 100_000, "cloudevent.json"),
        (f"agentplane.{TENANT}.intent.Run.run.requested", b"{}", "cloudevent.attribute"),
        (f"agentplane.{TENANT}.intent.Run.run.cancel-requested", cloudevents.encode(intent()), "intent.subject"),
        ("agentplane.rival.intent.Run.run.requested", cloudevents.encode(intent()), "intent.subject"),
        ("agentplane-executor.exec-1.report", b"", None),
    ],
)
async def test_poison_is_remembered_once_and_stops_nobody(
    store: AdversarialStore, bus: MemoryBus, subject: str, data: bytes, code: str | None
) -> None:
    async with Shell(store, bus).running():
        for _ in range(2):
            await bus.publish(subject, data, message_id=str(uuid.uuid4()))
        await one_run(store, bus, Host(bus))
        await until(store, "intent.rejected" if code else "executor.evidence-rejected")
    rejected = [s for s in store._log if s.event.type in {"intent.rejected", "executor.evidence-rejected"}]
    assert len(rejected) == 1
    if code:
        assert rejected[0].event.data["code"] == code
    assert story(store) == RUN_STORY


async def test_a_secret_in_an_intent_is_refused_without_repeating_it(store: AdversarialStore, bus: MemoryBus) -> None:
    document = json.loads(cloudevents.encode(intent()))
    secret = "ghp_" + "a1B2" * 9
    document["data"]["bundlePath"] = secret
    async with Shell(store, bus).running():
        subject = f"agentplane.{TENANT}.intent.Run.run.requested"
        await bus.publish(subject, json.dumps(document).encode(), message_id="1")
        await until(store, "intent.rejected")
    assert store.types() == ["intent.rejected"]
    assert secret not in str(store._log)
    assert store._log[0].event.data["code"] == "store.secret"


async def test_a_report_that_the_store_refuses_quarantines_its_run_and_blocks_no_other(
    store: AdversarialStore, bus: MemoryBus
) -> None:
    host = Host(bus)
    async with Shell(store, bus).running():
        first, second = intent(1), intent(2)
        await publish(bus, first)
        told = await host.told(first.stream.name)
        await host.report(host.executor.finished(told, message="password=hunter2hunter2"))
        await until(store, "run.quarantined")
        await publish(bus, second)
        told = await host.told(second.stream.name)
        await host.report(host.executor.finished(told))
        await until(store, "run.finished")
    assert "hunter2" not in str(store._log)


async def test_the_alias_subject_is_taken(store: AdversarialStore, bus: MemoryBus) -> None:
    async with Shell(store, bus).running():
        await bus.publish("eventplane.run.intent", cloudevents.encode(intent()), message_id="1")
        await until(store, "run.created")


async def test_a_wish_to_cancel_that_overtakes_its_run_waits_for_it(store: AdversarialStore, bus: MemoryBus) -> None:
    async with Shell(store, bus).running():
        wanted = intent()
        await publish(bus, cancel(wanted.stream.name))
        await publish(bus, wanted)
        await until(store, "run.superseded")
    assert "intent.rejected" not in store.types()


async def test_a_wish_to_cancel_nothing_is_rejected(store: AdversarialStore, bus: MemoryBus) -> None:
    async with Shell(store, bus).running():
        await publish(bus, cancel("nothing-000000000000"))
        await until(store, "intent.rejected")
    assert store._log[0].event.data["code"] == "run.unknown"


async def test_a_silent_executor_loses_its_lease_and_another_one_gets_it(
    store: AdversarialStore, bus: MemoryBus
) -> None:
    clock, first, second = Moment(), Host(bus), Host(bus, "exec-2")
    async with Shell(store, bus, clock).running() as shell:
        await first.beat()
        wanted = intent()
        await publish(bus, wanted)
        await first.told(wanted.stream.name)
        from datetime import timedelta

        clock.time += timedelta(seconds=31)
        await second.beat()
        await shell.vigil.check()
        told = await second.told(wanted.stream.name)
    assert told.epoch == 2
    assert "executor.unreachable" in store.types()


async def test_a_bus_that_was_away_gives_everybody_a_full_lease_again(store: AdversarialStore, bus: MemoryBus) -> None:
    from datetime import timedelta

    clock, host = Moment(), Host(bus)
    async with Shell(store, bus, clock).running() as shell:
        await host.beat()
        wanted = intent()
        await publish(bus, wanted)
        await host.told(wanted.stream.name)
        clock.time += timedelta(seconds=31)
        shell.vigil.forgive()
        await shell.vigil.check()
        assert "run.lease-expired" not in store.types()


async def test_a_heartbeat_is_answered_while_the_database_is_away(store: AdversarialStore, bus: MemoryBus) -> None:
    host = Host(bus)
    async with Shell(store, bus).running():
        wanted = intent()
        await host.beat()
        await publish(bus, wanted)
        await host.told(wanted.stream.name)

        def away(_: tuple[Append, ...]) -> None:
            raise AWAY

        store.before = away
        host.executor.boot_id = "boot-2"
        assert [each.run for each in (await host.beat()).assignments] == [wanted.stream.name]


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[" * 50_000])
async def test_a_heartbeat_that_is_none_is_told_so(store: AdversarialStore, bus: MemoryBus, data: bytes) -> None:
    async with Shell(store, bus).running():
        answer = json.loads(await bus.request("agentplane-executor.exec-1.heartbeat", data, timeout_s=5))
    assert answer["accepted"] is False
    assert answer["message"]
