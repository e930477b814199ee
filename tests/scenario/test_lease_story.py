"""Leases that run out, executors that fall silent and come back."""

from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.controllers import heartbeats, leases
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.runs.protocol import ActiveRun
from agentplane.runs.states import Outcome, RunState
from tests.scenario.world import World


def test_expired_lease_returns_run_to_placement_under_a_higher_epoch() -> None:
    world = World("exec-1", "exec-2")
    told = world.leased(on="exec-1")
    world.later(31)
    world.beat("exec-2")
    assert world.expire(told.run) == ("run.lease-expired", "run.requeued", "executor.released")
    world.place(told.run)
    again = world.assignment(told.run, "exec-2")
    assert (told.epoch, again.epoch) == (1, 2)
    assert again.statements[1] != told.statements[1]


def test_a_lease_holds_while_its_executor_is_heard_of() -> None:
    world = World()
    told = world.leased()
    for _ in range(10):
        world.later(20)
        world.beat()
        assert world.decide_expiry(told.run) is NOTHING


def test_late_evidence_of_an_old_epoch_is_kept_and_marked_fenced() -> None:
    world = World("exec-1", "exec-2")
    told = world.leased(on="exec-1")
    late = world.executors["exec-1"].finished(told)
    world.later(31)
    world.beat("exec-2")
    world.expire(told.run)
    world.place(told.run)
    assert world.report(late) == ("run.evidence", "executor.journal-advanced")
    assert world.payload(told.run, "run.evidence")["fenced"] is True
    assert world.run(told.run).state is RunState.LEASED


def test_an_executor_that_comes_back_is_told_to_stop_what_was_taken_from_it() -> None:
    world = World("exec-1", "exec-2")
    told = world.leased(on="exec-1")
    world.executors["exec-1"].active = (ActiveRun(run=told.run, tenant=told.tenant, epoch=told.epoch),)
    world.later(31)
    world.beat("exec-2")
    world.expire(told.run)
    world.place(told.run)
    cancelled = world.beat("exec-1").cancellations
    assert [(each.run, each.epoch) for each in cancelled] == [(told.run, 1)]


def test_the_executor_that_lost_a_run_is_asked_again_only_when_nobody_else_can() -> None:
    world = World("exec-1", "exec-2")
    told = world.leased(on="exec-1")
    world.later(31)
    for name in ("exec-1", "exec-2"):
        world.beat(name)
    world.since = world.now
    world.take(world_expiry_of_silence(world, told.run))
    world.place(told.run)
    holder = world.run(told.run).holder
    assert holder == "exec-2"
    world.later(31)
    world.heard.pop("exec-2")
    world.heard["exec-1"] = world.now
    world.expire(told.run)
    world.place(told.run)
    assert world.run(told.run).holder == "exec-1"


def world_expiry_of_silence(world: World, name: str) -> Decision:
    """The expiry as another control process saw it, which had not heard of the executor."""
    run = world.run(name)
    assert run.lease is not None
    return leases.expire(
        run,
        world.executor(run.lease.executor),
        last_heard=run.lease.placed_at,
        now=world.now,
        patience=world.patience,
    )


def test_three_lost_attempts_are_a_failure_with_outcome_lost() -> None:
    world = World()
    told = world.leased()
    for _ in range(2):
        world.later(31)
        world.expire(told.run)
        world.beat()
        world.place(told.run)
    world.later(31)
    assert world.expire(told.run) == ("run.lease-expired", "run.finished", "executor.released")
    assert world.run(told.run).state is RunState.FAILED
    assert world.payload(told.run, "run.finished")["outcome"] == "lost"
    assert world.executor().leases == ()


def test_an_attempt_that_its_executor_reports_as_lost_is_tried_again() -> None:
    world = World()
    told = world.leased()
    world.report(world.executors["exec-1"].finished(told, Outcome.LOST, exit_code=-1))
    assert world.run(told.run).state is RunState.REQUEUED
    assert world.executor().leases == ()
    world.place(told.run)
    assert world.assignment(told.run).epoch == 2


def test_a_cancellation_nobody_asked_for_is_an_attempt_lost() -> None:
    world = World()
    told = world.leased()
    world.report(world.executors["exec-1"].finished(told, Outcome.CANCELLED, exit_code=-1))
    assert world.run(told.run).state is RunState.REQUEUED


def test_a_run_that_never_starts_is_taken_away() -> None:
    world = World()
    told = world.leased()
    world.later(world.patience.start_grace_s - 1)
    world.beat()
    assert world.decide_expiry(told.run) is NOTHING
    world.later(2)
    world.beat()
    assert "run.requeued" in world.expire(told.run)


def test_a_run_that_outlives_its_limit_and_grace_is_taken_away() -> None:
    world = World()
    told = world.leased()
    world.report(world.executors["exec-1"].started(told))
    world.later(60 + world.patience.run_grace_s)
    world.beat()
    assert world.decide_expiry(told.run) is NOTHING
    world.later(1)
    world.beat()
    assert "run.requeued" in world.expire(told.run)


def test_two_processes_expire_a_lease_once() -> None:
    import pytest

    from agentplane.errors import Conflict

    world = World()
    told = world.leased()
    world.later(31)
    one = world.decide_expiry(told.run)
    world.later(1)
    other = world.decide_expiry(told.run)
    world.take(one)
    before = len(world.log.events)
    try:
        world.take(other)
    except Conflict:
        pass
    else:
        assert len(world.log.events) == before, pytest.fail("expired twice")


class TestHeartbeats:
    def test_the_first_registers_and_the_next_says_nothing_new(self) -> None:
        world = World()
        world.beat()
        before = len(world.log.events)
        world.later(5)
        world.beat()
        assert [s.event.type for s in world.log.events] == ["executor.registered"]
        assert len(world.log.events) == before

    def test_free_disk_that_moves_a_little_is_no_news(self) -> None:
        world = World()
        world.beat()
        executor = world.executors["exec-1"]
        executor.facts = replace(executor.facts, disk_mib=executor.facts.disk_mib - 100)
        world.beat()
        assert len(world.log.events) == 1
        executor.facts = replace(executor.facts, disk_mib=executor.facts.disk_mib // 2)
        world.beat()
        assert world.log.events[-1].event.type == "executor.reported"

    def test_another_boot_is_reported(self) -> None:
        world = World()
        world.beat()
        world.executors["exec-1"].boot_id = "boot-2"
        world.beat()
        assert world.log.events[-1].event.type == "executor.reported"

    def test_silence_is_said_once_and_so_is_its_end(self) -> None:
        world = World()
        world.beat()
        world.later(31)

        def silence() -> tuple[str, ...]:
            return world.take(
                leases.watch(
                    world.executor(), last_heard=world.last_heard("exec-1"), now=world.now, patience=world.patience
                )
            )

        assert silence() == ("executor.unreachable",)
        assert silence() == ()
        world.beat()
        assert world.log.events[-1].event.type == "executor.recovered"
        assert silence() == ()

    def test_an_unknown_a_disabled_and_a_wrongly_keyed_executor_are_told_why(self) -> None:
        from agentplane.controllers.heartbeats import Standing, objection

        request = World().executors["exec-1"].heartbeat()
        keys = frozenset({request.key_id})

        def code(**standing: Any) -> str | None:
            refused = objection(request, Standing(**standing), World().now)
            return refused.code if refused else None

        assert code(known=True, enabled=True, key_ids=keys) is None
        assert code(known=False, enabled=False, key_ids=keys) == "executor.unknown"
        assert code(known=True, enabled=False, key_ids=keys) == "executor.disabled"
        assert code(known=True, enabled=True, key_ids=frozenset({"0" * 64})) == "executor.key"

    def test_a_journal_that_was_cut_off_is_noticed(self) -> None:
        from agentplane.controllers.heartbeats import lost_journal

        world = World()
        told = world.leased()
        executor = world.executors["exec-1"]
        world.report(executor.started(told))
        assert lost_journal(executor.heartbeat(), world.executor()) == ""
        assert "ends at 0" in lost_journal(replace(executor.heartbeat(), journal_index=0), world.executor())
        other = replace(executor.heartbeat(), journal_digest="sha256:" + "0" * 64)
        assert "not the one" in lost_journal(other, world.executor())


def test_assignments_are_bounded_by_bytes_and_every_lease_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.beat()
    names = [world.request(number) for number in (1, 2, 3)]
    for name in names:
        world.place(name)
    monkeypatch.setattr(heartbeats, "MAX_REPLY_BYTES", 1)
    told: list[str] = []
    while len(told) < len(names):
        reply = world.beat()
        assert [lease.run for lease in reply.leases] == names
        assert len(reply.assignments) == 1
        told.append(reply.assignments[0].run)
        world.executors["exec-1"].active = reply.leases[: len(told)]
    assert told == names
