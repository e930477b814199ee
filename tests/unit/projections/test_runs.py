"""What a run's facts make of its view."""

import msgspec
import pytest

from agentplane.errors import Refused
from agentplane.events.model import StoredEvent
from agentplane.intents.runs import run_stream
from agentplane.projections import runs
from agentplane.projections.run_view import RunView, entries, summary_of
from agentplane.runs import facts, model
from agentplane.runs.states import Outcome, RunState
from tests.unit.projections.histories import EPOCH, GUEST, PINS, TABLE, Log, envelope, finished

RUN = run_stream("acme", "r")


def folded(stored: list[StoredEvent]) -> RunView:
    view = None
    for each in stored:
        view = runs.apply(view, each)
    assert view is not None
    return view


def test_a_run_that_succeeded_says_all_that_people_ask() -> None:
    log = Log()
    log.run("r")
    view = folded(log.stored)
    assert (view.state, view.outcome, view.exit_code) == (RunState.SUCCEEDED, Outcome.EXITED, 0)
    assert (view.bundle, view.lane, view.author, view.pins) == (PINS.bundle, "dev", "user:alice", PINS)
    assert (view.executor, view.epoch, view.backend, view.accelerator) == ("exec-1", 1, "microvm", "tcg")
    assert (view.guest, view.placement) == (GUEST, TABLE)
    assert view.evidence == {"ValidationArtifact": 1, "PlacementDecision": 1, "RunArtifact": 1}
    assert view.replay is not None
    assert view.replay.match
    assert (view.first_sequence, view.last_sequence) == (1, len(log.stored))
    moments = [view.created_at, view.queued_at, view.placed_at, view.started_at, view.finished_at]
    assert all(moment is not None and moment > EPOCH for moment in moments)


def test_the_timeline_has_an_entry_for_every_event() -> None:
    log = Log()
    log.run("r")
    timeline = entries(folded(log.stored).timeline)
    assert [entry.sequence for entry in timeline] == [each.sequence for each in log.stored]
    assert "placed on exec-1 as microvm, epoch 1" in [entry.summary for entry in timeline]


def test_a_refused_run_keeps_its_findings() -> None:
    log = Log()
    log.run("r", outcome=None)
    view = folded(log.stored)
    assert (view.state, view.code, view.findings) == (RunState.FAILED, "bundle.invalid", ({"code": "x"},))
    assert view.bundle == "example-agent@1.0.0"
    assert view.finished_at is not None


def test_a_cancelled_execution_is_superseded() -> None:
    log = Log()
    log.run("r", outcome=Outcome.CANCELLED)
    log.add(RUN, facts.SUPERSEDED, model.RunSuperseded(reason="not needed", by="user:bob"))
    view = folded(log.stored)
    assert (view.state, view.message) == (RunState.SUPERSEDED, "not needed")


def test_an_expired_lease_and_the_next_attempt() -> None:
    log = Log()
    log.run("r")
    log.stored = log.stored[:6]
    log.add(RUN, facts.LEASE_EXPIRED, model.LeaseExpired(executor="exec-1", epoch=1, message="no heartbeat"))
    log.add(RUN, facts.REQUEUED, model.RunRequeued(reason="no heartbeat; attempt 2 of 3"))
    view = folded(log.stored)
    assert (view.state, view.executor, view.requeues, view.started_at) == (RunState.REQUEUED, None, 1, None)
    late = model.RunEvidence(
        executor="exec-1", index=2, kind="RunArtifact", epoch=1, envelope=envelope("late"), fenced=True
    )
    log.add(RUN, facts.EVIDENCE, late)
    assert folded(log.stored).fenced == 1


def test_an_unknown_type_is_kept_counted_and_ignored() -> None:
    log = Log()
    log.run("r")
    before = folded(log.stored)
    log.add(RUN, "run.blessed", {"by": "someone newer"})
    after = folded(log.stored)
    assert (after.unknown_events, after.state, after.last_sequence) == (1, before.state, before.last_sequence + 1)
    assert entries(after.timeline)[-1].type == "run.blessed"


@pytest.mark.parametrize("type_", [facts.CREATED, facts.PLACED, facts.FINISHED, facts.WAITING, facts.EVIDENCE])
def test_a_known_type_with_unreadable_data_is_refused_by_name(type_: str) -> None:
    log = Log()
    log.add(RUN, type_, {"nonsense": True})
    with pytest.raises(Refused) as caught:
        folded(log.stored)
    assert caught.value.code == "event.payload"


def test_a_state_that_does_not_exist_is_refused() -> None:
    log = Log()
    log.add(RUN, facts.WAITING, model.RunWaiting(state="waiting_for_godot", message="he comes tomorrow"))
    with pytest.raises(Refused) as caught:
        folded(log.stored)
    assert caught.value.code == "event.payload"


@pytest.mark.parametrize("bundle", [None, 5, [], {}, {"metadata": 3}, {"metadata": {"name": {}, "version": 1}}])
def test_a_wish_with_any_document_has_a_view(bundle: object) -> None:
    log = Log()
    log.add(RUN, "run.requested", {"bundle": bundle, "replayOf": None}, actor="user:x")
    assert folded(log.stored).bundle == ""


def test_an_endless_history_stays_bounded() -> None:
    log = Log()
    for _ in range(runs.TIMELINE_HALF * 2 + 30):
        log.add(RUN, "run.pinged", {})
    timeline = folded(log.stored).timeline
    assert (len(timeline.first), len(timeline.last), timeline.skipped) == (runs.TIMELINE_HALF, runs.TIMELINE_HALF, 30)
    assert timeline.last[-1].sequence == len(log.stored)


def test_other_streams_do_not_touch_runs() -> None:
    log = Log()
    log.executor("exec-1")
    assert [runs.key(stored) for stored in log.stored] == [None, None]
    assert runs.apply(None, log.stored[0]) is None


def test_a_view_survives_its_wire_form() -> None:
    log = Log()
    log.run("r")
    view = folded(log.stored)
    assert msgspec.json.decode(msgspec.json.encode(view), type=RunView) == view
    assert summary_of(view).name == "r"


def test_a_diverged_replay_says_so_in_its_timeline() -> None:
    log = Log()
    verdict = model.ReplayVerdict(of="other", match=False, differences=("exit code: 0 became 3",))
    log.add(RUN, facts.FINISHED, msgspec.structs.replace(finished(Outcome.EXITED), replay=verdict))
    assert "DIVERGED" in entries(folded(log.stored).timeline)[-1].summary
