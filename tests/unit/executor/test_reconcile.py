from hypothesis import given
from hypothesis import strategies as st

from agentplane.runs.model import Resources
from agentplane.runs.protocol import Assignment, Cancellation, HeartbeatReply
from services.executor.reconcile import (
    MISSED_ANSWERS,
    Cancel,
    Decline,
    Forget,
    Resume,
    Room,
    Start,
    key_of,
    missed,
    reconcile,
)
from services.executor.runstate import HOLDING, LocalRun, RunKey, Stage
from tests.unit.executor.samples import assignment

SMALL = Resources(vcpus=1, memory_mib=256, disk_mib=64)
ROOMY = Room(accepting=True, slots=8, total=Resources(vcpus=64, memory_mib=65536, disk_mib=65536), keep_runs=10)


def local(run: str = "r", epoch: int = 1, stage: Stage = Stage.STARTED, **changes: object) -> LocalRun:
    fields: dict[str, object] = {"supervised": True, "resources": SMALL, **changes}
    return LocalRun(key=RunKey("t", run, epoch), stage=stage, **fields)  # type: ignore[arg-type]


def reply(
    *assignments: Assignment, accepted: bool = True, committed: int = 0, cancel: tuple[Cancellation, ...] = ()
) -> HeartbeatReply:
    return HeartbeatReply(
        accepted=accepted,
        message="",
        assignments=assignments,
        cancellations=cancel,
        committed_index=committed,
        heartbeat_seconds=5,
    )


def work(run: str = "r", epoch: int = 1) -> Assignment:
    return assignment(tenant="t", run=run, epoch=epoch, resources=SMALL)


def cancellation(epoch: int = 1) -> Cancellation:
    return Cancellation(run="r", tenant="t", epoch=epoch, reason="a person asked")


def test_a_new_assignment_is_started() -> None:
    assert reconcile([], reply(work()), ROOMY) == (Start(work()),)


def test_an_assignment_that_runs_here_already_changes_nothing() -> None:
    assert reconcile([local()], reply(work()), ROOMY) == ()


def test_an_epoch_that_ended_here_is_never_started_again() -> None:
    assert reconcile([local(stage=Stage.SEALED, seal_index=9)], reply(work()), ROOMY) == ()


def test_a_lower_epoch_is_never_started_after_a_higher_one() -> None:
    assert reconcile([local(epoch=3, stage=Stage.SEALED)], reply(work(epoch=2)), ROOMY) == ()


def test_a_higher_epoch_stops_the_lower_one_and_waits_for_its_end() -> None:
    (action,) = reconcile([local(epoch=1)], reply(work(epoch=2)), ROOMY)
    assert action == Cancel(RunKey("t", "r", 1), "fenced: epoch 2 has replaced epoch 1")
    assert reconcile([local(epoch=1, stage=Stage.ENDED)], reply(work(epoch=2)), ROOMY) == (Start(work(epoch=2)),)


def test_after_a_restart_every_unfinished_attempt_is_carried_forward_before_control_is_heard() -> None:
    runs = [local(stage=stage, supervised=False, run=f"r{i}") for i, stage in enumerate(Stage)]
    resumed = {action.key.run for action in reconcile(runs, None, ROOMY) if isinstance(action, Resume)}
    assert resumed == {run.key.run for run in runs if run.stage is not Stage.SEALED}


def test_an_answer_that_does_not_accept_us_starts_and_stops_nothing() -> None:
    assert reconcile([local()], reply(work("other"), accepted=False, cancel=(cancellation(),)), ROOMY) == ()


def test_a_cancellation_stops_its_epoch_and_lower_ones_only() -> None:
    assert reconcile([local(epoch=2)], reply(work(epoch=2), cancel=(cancellation(1),)), ROOMY) == ()
    (action,) = reconcile([local(epoch=1)], reply(cancel=(cancellation(2),)), ROOMY)
    assert action == Cancel(RunKey("t", "r", 1), "a person asked")


def test_a_cancelled_assignment_is_not_started() -> None:
    assert reconcile([], reply(work(), cancel=(cancellation(),)), ROOMY) == ()


def test_one_answer_without_a_lease_may_be_stale_but_two_fence_it() -> None:
    run = local()
    assert missed([run], reply()) == {run.key}
    assert missed([run], reply(work())) == frozenset()
    assert reconcile([local(missed=1)], reply(), ROOMY) == ()
    (action,) = reconcile([local(missed=MISSED_ANSWERS)], reply(), ROOMY)
    assert isinstance(action, Cancel)
    assert action.reason.startswith("fenced")


def test_a_host_without_space_takes_nothing_new() -> None:
    closed = Room(accepting=False, slots=8, total=ROOMY.total, keep_runs=10)
    assert reconcile([], reply(work()), closed) == ()


def test_a_draining_host_gives_new_work_back_and_keeps_what_it_has() -> None:
    draining = Room(accepting=True, draining=True, slots=8, total=ROOMY.total, keep_runs=10)
    assert reconcile([local("old")], reply(work("old"), work("new")), draining) == (
        Decline(work("new"), "this executor is draining"),
    )


def test_a_fence_is_believed_when_it_is_repeated() -> None:
    fence = Cancellation(run="r", tenant="t", epoch=1, reason="fenced: another epoch has taken over")
    assert reconcile([local(missed=1)], reply(cancel=(fence,)), ROOMY) == ()
    (action,) = reconcile([local(missed=MISSED_ANSWERS)], reply(cancel=(fence,)), ROOMY)
    assert action == Cancel(RunKey("t", "r", 1), fence.reason)


def test_what_does_not_fit_waits_and_smaller_work_passes_it() -> None:
    big = assignment(tenant="t", run="big", epoch=1, resources=Resources(vcpus=1, memory_mib=1 << 20, disk_mib=1))
    assert reconcile([], reply(big, work()), ROOMY) == (Start(work()),)


def test_the_newest_finished_runs_are_kept_and_uncommitted_ones_always() -> None:
    runs = [local(f"r{i}", stage=Stage.SEALED, seal_index=i) for i in range(1, 6)]
    room = Room(accepting=True, slots=1, total=ROOMY.total, keep_runs=1)
    forgotten = {action.key.run for action in reconcile(runs, reply(committed=3), room) if isinstance(action, Forget)}
    assert forgotten == {"r1", "r2"}


runs_strategy = st.builds(
    local,
    run=st.sampled_from("abc"),
    epoch=st.integers(1, 4),
    stage=st.sampled_from(Stage),
    supervised=st.booleans(),
    missed=st.integers(0, 3),
    seal_index=st.none() | st.integers(1, 9),
)
replies_strategy = st.builds(
    lambda works, cancels, accepted, committed: reply(
        *(work(run, epoch) for run, epoch in works),
        accepted=accepted,
        committed=committed,
        cancel=tuple(Cancellation(run=run, tenant="t", epoch=epoch, reason="x") for run, epoch in cancels),
    ),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4)), max_size=5, unique=True),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 4)), max_size=3),
    st.booleans(),
    st.integers(0, 9),
)


@given(st.lists(runs_strategy, max_size=6, unique_by=lambda run: run.key), replies_strategy, st.integers(0, 4))
def test_no_epoch_starts_twice_or_below_another_and_no_limit_is_passed(
    runs: list[LocalRun], answer: HeartbeatReply, slots: int
) -> None:
    room = Room(accepting=True, slots=slots, total=ROOMY.total, keep_runs=2)
    actions = reconcile(runs, answer, room)
    starts = [action for action in actions if isinstance(action, Start)]
    if not answer.accepted:
        assert all(isinstance(action, Resume) for action in actions)
    assert len({(s.assignment.tenant, s.assignment.run) for s in starts}) == len(starts)
    for start in starts:
        rivals = [run for run in runs if run.key.run == start.assignment.run]
        assert all(run.key.epoch < start.assignment.epoch for run in rivals)
        assert not any(run.stage in HOLDING for run in rivals)
        cancelled = [c for c in answer.cancellations if c.run == start.assignment.run]
        assert all(c.epoch < start.assignment.epoch for c in cancelled)
    assert len(starts) + sum(run.stage in HOLDING for run in runs) <= max(slots, sum(r.stage in HOLDING for r in runs))


@given(st.lists(runs_strategy, max_size=6, unique_by=lambda run: run.key), replies_strategy)
def test_nothing_uncommitted_or_alive_is_forgotten_and_reconciling_again_asks_no_second_start(
    runs: list[LocalRun], answer: HeartbeatReply
) -> None:
    actions = reconcile(runs, answer, ROOMY)
    by_key = {run.key: run for run in runs}
    for action in actions:
        if isinstance(action, Forget):
            seal = by_key[action.key].seal_index
            assert seal is not None
            assert seal <= answer.committed_index
    claimed = [
        LocalRun(key=key_of(a.assignment), stage=Stage.CLAIMED, supervised=True, resources=SMALL)
        for a in actions
        if isinstance(a, Start)
    ]
    assert not any(isinstance(action, Start) for action in reconcile([*runs, *claimed], answer, ROOMY))
