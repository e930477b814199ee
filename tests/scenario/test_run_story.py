"""One run from wish to end, told as stories: state and input in, facts out."""

import uuid

import pytest

from agentplane.controllers.decision import NOTHING, TOO_EARLY
from agentplane.errors import Conflict, Refused
from agentplane.evidence.dsse import envelope_bytes
from agentplane.evidence.record import open_record
from agentplane.runs.protocol import ActiveRun
from agentplane.runs.states import Outcome, RunState
from tests.scenario.wishes import bundle_document, wish
from tests.scenario.world import FACTS, RUN_STORY, World


def test_a_run_goes_from_wish_to_success() -> None:
    world = World()
    told = world.leased()
    executor = world.executors["exec-1"]
    assert world.report(executor.started(told)) == ("run.evidence", "run.started", "executor.journal-advanced")
    world.report(executor.finished(told))
    assert world.types(told.run) == RUN_STORY
    assert world.run(told.run).state is RunState.SUCCEEDED
    assert world.executor().leases == ()
    assert world.beat().assignments == ()
    assert world.beat().committed_index == 2


def test_every_event_of_a_run_is_caused_by_one_before_it() -> None:
    world = World()
    told = world.leased()
    executor = world.executors["exec-1"]
    world.report(executor.started(told))
    world.report(executor.finished(told))
    ids: dict[uuid.UUID, int] = {stored.event.id: stored.sequence for stored in world.log.events}
    for stored in world.log.events:
        if stored.event.stream.kind == "Run" and stored.event.type != "run.requested":
            assert stored.event.causation_id is not None
            assert ids[stored.event.causation_id] < stored.sequence
            assert stored.event.correlation_id == world.run(told.run).correlation_id


def test_an_invalid_bundle_is_refused_with_all_findings_and_a_signed_validation() -> None:
    world = World()
    document = bundle_document(maxRunSeconds=1)
    document["metadata"]["licensePolicy"]["allowAGPL"] = True
    name = world.request(1, wish(document))
    assert world.types(name) == ["run.requested", "run.refused"]
    refused = world.payload(name, "run.refused")
    assert len([f for f in refused["findings"] if f["severity"] == "fail"]) == 2
    record = open_record(envelope_bytes(refused["validation"]), world.trusted)
    assert record.statement.predicate.artifact["valid"] is False
    assert world.run(name).ended
    assert list(world.state.live_runs()) == []


def test_the_clients_findings_count_for_nothing_files_are_judged_by_their_facts() -> None:
    world = World()
    files = tuple(fact for fact in wish().files if fact.path != "smoke.sh")
    name = world.request(1, wish(files=files))
    assert world.types(name)[-1] == "run.refused"


@pytest.mark.parametrize("policy", [{"lane": "prod"}, {"humanGateRequired": True}])
def test_what_needs_a_gate_waits_for_people_and_is_not_placed(policy: dict[str, object]) -> None:
    world = World()
    world.beat()
    name = world.request(1, wish(bundle_document(**policy)))
    assert world.run(name).state is RunState.WAITING_FOR_HUMAN
    assert world.decide_placement(name) is NOTHING


def test_a_run_waits_until_an_executor_appears_and_says_so_once() -> None:
    world = World()
    name = world.request()
    assert world.place(name) == ("run.waiting",)
    world.later(10)
    assert world.decide_placement(name) is NOTHING
    world.beat()
    assert world.place(name) == ("run.placed", "executor.leased")


def test_an_older_heartbeat_is_no_news_for_a_waiting_run() -> None:
    world = World()
    world.beat()
    world.later(40)
    name = world.request()
    assert world.place(name) == ("run.waiting",)
    world.later(40)
    assert world.decide_placement(name) is NOTHING


def test_a_full_executor_lets_the_next_run_wait_until_the_first_ends() -> None:
    world = World()
    world.executors["exec-1"].facts = FACTS.__class__(
        **{field: getattr(FACTS, field) for field in FACTS.__struct_fields__} | {"vcpus": 1}
    )
    first = world.leased(1)
    second = world.request(2)
    assert world.place(second) == ("run.waiting",)
    world.report(world.executors["exec-1"].finished(first))
    assert world.place(second) == ("run.placed", "executor.leased")


def test_two_control_processes_cannot_give_away_the_last_place_twice() -> None:
    world = World()
    world.executors["exec-1"].facts = FACTS.__class__(
        **{field: getattr(FACTS, field) for field in FACTS.__struct_fields__} | {"vcpus": 1}
    )
    world.beat()
    first, second = world.request(1), world.request(2)
    one, other = world.decide_placement(first), world.decide_placement(second)
    world.take(one)
    with pytest.raises(Conflict):
        world.take(other)
    assert world.place(second) == ("run.waiting",)


def test_tenants_take_turns() -> None:
    from agentplane.controllers.records import RunKey
    from agentplane.controllers.schedule import in_order

    world = World()
    names = [world.request(number) for number in range(1, 4)]
    mine = [world.run(name) for name in names]
    from msgspec.structs import replace

    theirs = replace(mine[0], key=RunKey("other", "x"), sequence=10_000)
    assert in_order([*mine, theirs]) == [mine[0], theirs, mine[1], mine[2]]


def test_the_same_wish_twice_is_one_run() -> None:
    world = World()
    world.request(1)
    before = len(world.log.events)
    assert world.decide_intent(world.intent(1)) is NOTHING
    assert len(world.log.events) == before


def test_another_wish_cannot_take_a_runs_name() -> None:
    from msgspec.structs import replace

    world = World()
    name = world.request(1)
    thief = replace(world.intent(2), stream=world.intent(1).stream)
    assert thief.stream.name == name
    with pytest.raises(Refused) as refused:
        world.decide_intent(thief)
    assert refused.value.code == "intent.stream"


def test_a_guest_that_exits_with_1_has_failed_and_is_not_tried_again() -> None:
    world = World()
    told = world.leased()
    world.report(world.executors["exec-1"].finished(told, exit_code=1))
    assert world.run(told.run).state is RunState.FAILED
    assert not world.run(told.run).placeable


def test_an_executor_cannot_call_a_failure_a_success() -> None:
    from agentplane.evidence.report import finished_artifact
    from agentplane.runs.model import RunFinished

    world = World()
    told = world.leased()
    lie = RunFinished(
        executor="exec-1",
        epoch=told.epoch,
        outcome=Outcome.TIMEOUT,
        succeeded=True,
        exit_code=-1,
        message="",
        artifacts=(),
        run_dir="/r",
        out_dir="/r/a",
        wall_clock_ms=1,
    )
    world.report(world.executors["exec-1"].record(told, finished_artifact(lie)))
    assert world.run(told.run).state is RunState.FAILED


def test_evidence_after_the_end_is_kept_and_is_not_fenced() -> None:
    world = World()
    told = world.leased()
    executor = world.executors["exec-1"]
    world.report(executor.finished(told))
    assert world.report(executor.record(told, {"kind": "RunSeal", "n": 1})) == (
        "run.evidence",
        "executor.journal-advanced",
    )
    assert world.payload(told.run, "run.evidence")["fenced"] is False


class TestReplay:
    def test_it_takes_everything_from_its_original(self) -> None:
        world = World()
        told = world.leased(1)
        executor = world.executors["exec-1"]
        world.report(executor.started(told))
        world.report(executor.finished(told, exit_code=3))
        name = world.request(2, wish({}, replay_of=told.run, files=()))
        assert world.types(name) == ["run.requested", "run.created", "run.queued"]
        world.place(name)
        again = world.assignment(name)
        assert again.pins == told.pins
        assert again.replay_guest is not None
        assert again.expected is not None
        assert (again.expected.run, again.expected.exit_code) == (told.run, 3)

    def test_of_an_unknown_run_is_refused(self) -> None:
        world = World()
        name = world.request(2, wish(replay_of="nothing-000000000000"))
        assert world.payload(name, "run.refused")["code"] == "replay.unknown"

    def test_of_a_run_that_has_not_ended_is_refused(self) -> None:
        world = World()
        told = world.leased(1)
        name = world.request(2, wish(replay_of=told.run))
        assert world.payload(name, "run.refused")["code"] == "replay.unfinished"

    def test_of_a_refused_run_is_refused(self) -> None:
        world = World()
        refused = world.request(1, wish(bundle_document(maxRunSeconds=1)))
        name = world.request(2, wish(replay_of=refused))
        assert world.payload(name, "run.refused")["code"] == "replay.unknown"


class TestCancellation:
    def test_a_waiting_run_ends_at_once(self) -> None:
        world = World()
        name = world.request()
        assert world.take(world.cancel(name)) == ("run.cancel-requested", "run.superseded")
        assert world.run(name).state is RunState.SUPERSEDED

    def test_a_run_that_its_executor_has_not_taken_ends_with_the_next_heartbeat(self) -> None:
        world = World()
        told = world.leased()
        world.take(world.cancel(told.run))
        reply = world.beat()
        assert (reply.assignments, reply.leases) == ((), ())
        assert world.types(told.run)[-2:] == ["run.cancel-requested", "run.superseded"]
        assert world.run(told.run).state == "superseded"
        assert world.executor().leases == ()
        assert [each.event.data["reason"] for each in world.log.events if each.event.type == "executor.released"] == [
            "cancelled"
        ]
        before = len(world.log.events)
        world.beat()
        assert len(world.log.events) == before

    def test_a_held_run_ends_by_its_executors_word(self) -> None:
        world = World()
        told = world.leased()
        world.executors["exec-1"].active = (ActiveRun(run=told.run, tenant=told.tenant, epoch=told.epoch),)
        decision = world.cancel(told.run)
        assert decision.wake_executors == ("exec-1",)
        world.take(decision)
        reply = world.beat()
        assert [each.run for each in reply.cancellations] == [told.run]
        assert reply.assignments == ()
        world.report(world.executors["exec-1"].finished(told, Outcome.CANCELLED, exit_code=-1))
        assert world.run(told.run).state is RunState.SUPERSEDED
        assert world.types(told.run)[-2:] == ["run.finished", "run.superseded"]

    def test_a_run_whose_executor_is_gone_ends_with_its_lease(self) -> None:
        world = World()
        told = world.leased()
        world.take(world.cancel(told.run))
        world.later(31)
        assert world.expire(told.run) == ("run.lease-expired", "run.superseded", "executor.released")

    def test_one_that_finished_meanwhile_has_finished(self) -> None:
        world = World()
        told = world.leased()
        world.take(world.cancel(told.run))
        world.report(world.executors["exec-1"].finished(told))
        assert world.run(told.run).state is RunState.SUCCEEDED

    def test_twice_is_once(self) -> None:
        world = World()
        told = world.leased()
        world.take(world.cancel(told.run))
        assert world.cancel(told.run, 901) is NOTHING

    def test_of_an_unknown_run_is_refused(self) -> None:
        with pytest.raises(Refused):
            World().cancel("nothing-000000000000")


class TestReports:
    def test_one_that_came_before_its_turn_is_asked_for_again(self) -> None:
        world = World()
        told = world.leased()
        executor = world.executors["exec-1"]
        first, second = executor.started(told), executor.finished(told)
        assert world.decide_report(second) is TOO_EARLY
        world.report(first)
        world.report(second)
        assert world.run(told.run).state is RunState.SUCCEEDED

    def test_one_that_was_committed_changes_nothing(self) -> None:
        world = World()
        told = world.leased()
        executor = world.executors["exec-1"]
        first, second = executor.started(told), executor.finished(told)
        for data in (first, second):
            world.report(data)
        assert [world.decide_report(data) for data in (first, second)] == [NOTHING, NOTHING]

    def test_a_flipped_byte_is_rejected_and_remembered_once(self) -> None:
        world = World()
        told = world.leased()
        data = bytearray(world.executors["exec-1"].started(told))
        data[40] ^= 1
        assert "executor.evidence-rejected" in world.report(bytes(data))
        assert world.report(bytes(data)) == ()
        assert world.executor().journal_index == 0

    def test_one_signed_by_another_executor_is_rejected(self) -> None:
        world = World("exec-1", "exec-2")
        told = world.leased()
        data = world.executors["exec-2"].started(told)
        assert world.report(data, "exec-1") == ("executor.evidence-rejected",)
        assert world.run(told.run).state is RunState.LEASED

    def test_one_of_an_executor_that_does_not_hold_the_run_is_kept_as_fenced(self) -> None:
        world = World("exec-1", "exec-2")
        told = world.leased()
        world.report(world.executors["exec-2"].finished(told), "exec-2")
        assert world.payload(told.run, "run.evidence")["fenced"] is True
        assert world.run(told.run).state is RunState.LEASED

    def test_another_past_quarantines_the_run_and_fences_the_executor(self) -> None:
        world = World()
        told = world.leased()
        executor = world.executors["exec-1"]
        world.report(executor.started(told))
        from agentplane.evidence.journal import executor_journal

        executor.head = executor_journal("exec-1")
        executor.record(told, {"kind": "RunSeal", "n": 1})
        forged = executor.finished(told)
        assert world.report(forged) == ("executor.evidence-rejected", "executor.released", "run.quarantined")
        assert world.run(told.run).state is RunState.QUARANTINED
        assert world.executor().fenced is not None
        again = world.request(2)
        assert world.place(again) == ("run.waiting",)

    def test_one_about_a_run_nobody_knows_is_passed_over(self) -> None:
        world, elsewhere = World(), World()
        told = elsewhere.leased(7)
        executor = world.executors["exec-1"]
        assert world.report(executor.started(told)) == ("executor.evidence-rejected", "executor.journal-advanced")
        mine = world.leased(1)
        world.report(executor.finished(mine))
        assert world.run(mine.run).state is RunState.SUCCEEDED

    def test_one_about_another_bundle_quarantines_the_run(self) -> None:
        from msgspec.structs import replace

        world = World()
        told = world.leased()
        other = replace(told, pins=replace(told.pins, bundle_digest="sha256:" + "1" * 64))
        world.report(world.executors["exec-1"].finished(other))
        assert world.run(told.run).state is RunState.QUARANTINED
