"""Read models of the families: what they say, and that order and repetition change nothing."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.domains.views import Look
from agentplane.domains.work.aliases import event_uuid
from agentplane.domains.work.projections import agents, processes, rules, verifications
from agentplane.domains.work.projections.agents import AGENTS
from agentplane.domains.work.projections.assignments import ASSIGNMENTS
from agentplane.domains.work.projections.messages import MESSAGES
from agentplane.domains.work.projections.processes import PROCESSES
from agentplane.domains.work.projections.rules import RULES
from agentplane.domains.work.projections.verifications import VERIFICATIONS
from agentplane.domains.work.projections.work_items import WORK_ITEMS
from agentplane.domains.work.shown import VIEWS
from agentplane.domains.work.tests.streams_of_events import START, folded, happened, row
from agentplane.events.model import Event

ALL = (WORK_ITEMS, MESSAGES, AGENTS, PROCESSES, VERIFICATIONS, ASSIGNMENTS, RULES)
SLOT = "project-a/slot0"
START_ID = event_uuid("acme", "start")
STORY = (
    happened("work_order.created", 0, work_order_id="wo-1", title="Do it", priority=1),
    happened("work_order.assigned", 10, work_order_id="wo-1", agent=SLOT),
    happened("assignment.set", 10, agent=SLOT, ref_id="wo-1"),
    happened("agent.started", 20, actor=SLOT, assigned_work_order="wo-1", profile="worker"),
    happened("agent.assignment_checked", 21, actor=SLOT, found=True, response_ms=150, action="execute_immediately"),
    happened("agent.working", 22, actor=SLOT, work_order_id="wo-1"),
    happened("work_order.status_changed", 22, actor=SLOT, work_order_id="wo-1", to_status="in_progress"),
    happened(
        "process.created",
        23,
        actor=SLOT,
        process_id="p-1",
        work_order_id="wo-1",
        steps=[{"id": "plan"}, {"id": "code", "needs": ["plan"]}, {"id": "test", "needs": ["code"]}],
    ),
    happened("process.step_started", 24, actor=SLOT, process_id="p-1", step_id="plan"),
    happened("process.step_completed", 30, actor=SLOT, process_id="p-1", step_id="plan"),
    happened("mail.sent", 31, actor=SLOT, message_id="m-1", to="qa", subject="ready", message_type="READY_FOR_QA"),
    happened("mail.delivered", 32, actor="router", message_id="m-1", recipient="qa"),
    happened("mail.read", 33, actor="qa", message_id="m-1", reader="qa"),
    happened("verify.started", 34, actor="qa", work_order_id="wo-1"),
    happened("verify.test_executed", 35, actor="verifier", work_order_id="wo-1", criterion="AC-1", passed=False),
    happened("verify.audited", 36, actor="auditor", work_order_id="wo-1", criterion="AC-1", assessment="FAIL"),
    happened("verify.verdict", 37, actor="judge", work_order_id="wo-1", verdict="NEEDS_HUMAN", reasoning="unclear"),
    happened("compliance.check_failed", 38, actor="qa", rule_id="DOC-001", work_order_id="wo-1"),
    happened("compliance.check_passed", 50, actor="qa", rule_id="DOC-001", work_order_id="wo-1"),
    happened("agent.nudged", 60, actor="witness", agent=SLOT),
    happened("agent.idle", 61, actor="witness", agent=SLOT),
    happened("work_order.closed", 70, actor=SLOT, work_order_id="wo-1", reason="done"),
    happened("work_order.status_changed", 70, actor=SLOT, work_order_id="wo-1", to_status="closed"),
    happened("assignment.cleared", 71, agent=SLOT),
)


def everything(events: list[Event]) -> dict[str, dict[str, Any]]:
    return {projection.name: folded(projection, events) for projection in ALL}


def test_a_story_is_told_whole() -> None:
    views = everything(list(STORY))
    item = views["work_items"]["wo-1"]
    assert (item.status, item.priority, item.assignee, item.ending) == ("closed", 1, SLOT, "completed")
    assert item.closed_at - item.created_at == timedelta(seconds=70)
    assert views["work_messages"]["m-1"].state == "read"
    assert views["work_verifications"]["wo-1"].verdict == "NEEDS_HUMAN"
    assert [step.state for step in views["work_processes"]["p-1"].steps] == ["completed", "ready", "blocked"]
    rule = views["work_rules"]["DOC-001/wo-1"]
    assert (rule.state, rule.failed, rule.passed) == ("passed", 1, 1)
    assert views["work_assignments"][SLOT].ref_id is None
    assert views["work_assignments"][SLOT].prompt_checks == 1


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(STORY), max_size=20))
def test_shuffled_and_repeated_events_give_the_same_views(chance: random.Random, again: list[Event]) -> None:
    events = [*STORY, *again]
    chance.shuffle(events)
    assert everything(events) == everything(list(STORY))


def test_events_of_one_moment_go_to_the_further_step() -> None:
    closed = happened("work_order.status_changed", 5, work_order_id="wo-2", to_status="closed")
    begun = happened("work_order.status_changed", 5, work_order_id="wo-2", to_status="in_progress")
    assert folded(WORK_ITEMS, [closed, begun])["wo-2"].status == "closed"
    assert folded(WORK_ITEMS, [begun, closed])["wo-2"].status == "closed"


def test_a_work_order_that_is_opened_again_has_not_ended() -> None:
    ended = happened("work_order.closed", 5, work_order_id="wo-2", ending="failed")
    again = happened("work_order.status_changed", 9, work_order_id="wo-2", to_status="open")
    view = folded(WORK_ITEMS, [again, ended])["wo-2"]
    assert (view.status, view.ending) == ("open", None)
    assert view.closed_at is not None


def test_a_status_that_is_a_source_s_own_word_is_kept_and_has_not_ended() -> None:
    begun = happened("work_order.status_changed", 5, work_order_id="wo-3", to_status="in_progress")
    merged = happened("work_order.status_changed", 9, work_order_id="wo-3", to_status="merged")
    view = folded(WORK_ITEMS, [merged, begun])["wo-3"]
    assert (view.status, view.ending, view.unreadable) == ("merged", None, 0)
    closed = happened("work_order.status_changed", 9, work_order_id="wo-3", to_status="closed")
    assert folded(WORK_ITEMS, [closed, merged, begun])["wo-3"].status == "closed"


def test_tests_and_audits_are_shown_in_one_order_whatever_came_first() -> None:
    tests = [happened("verify.test_executed", 1, work_order_id="w", criterion=each, passed=True) for each in ("b", "a")]
    for events in (tests, tests[::-1]):
        shown = verifications.present(row(folded(VERIFICATIONS, events)["w"]), None)
        assert list(shown["tests"]) == ["a", "b"]


def test_a_deleted_document_leaves_its_work_item_marked() -> None:
    stream = happened("work_order.created", 0, work_order_id="wo-1", title="t").stream
    gone = replace(happened("x.y", 9), stream=stream, type="resource.deleted", data={"uid": "u", "generation": 1})
    assert folded(WORK_ITEMS, [*STORY, gone])["wo-1"].removed
    assert not folded(
        WORK_ITEMS, [gone, replace(gone, type="resource.applied", time=START + timedelta(hours=1), id=START_ID)]
    )["wo-1"].removed
    imported = replace(gone, stream=replace(stream, namespace="imported.default"))
    assert not folded(WORK_ITEMS, [*STORY, imported])["wo-1"].removed


def test_a_message_that_is_read_before_it_was_sent_is_read() -> None:
    read = happened("mail.read", 1, actor="qa", message_id="m-2")
    assert folded(MESSAGES, [read])["m-2"].recipient == "qa"
    sent = happened("mail.sent", 2, message_id="m-2", to="project-a/qa", subject="late")
    view = folded(MESSAGES, [read, sent])["m-2"]
    assert (view.state, view.recipient, view.subject) == ("read", "project-a/qa", "late")


def test_an_agent_is_stale_when_it_was_silent_for_too_long_for_whoever_looks() -> None:
    view = row(folded(AGENTS, [happened("agent.working", 0, actor=SLOT, work_order_id="wo-1")])[SLOT])
    fresh, late = (Look(now=START + timedelta(minutes=minutes)) for minutes in (14, 16))
    assert agents.present(view, fresh)["liveness"] == "working"
    assert agents.present(view, late)["liveness"] == "stale"
    patient = Look(now=late.now, stale_after=timedelta(hours=1))
    assert agents.present(view, patient)["liveness"] == "working"


def test_the_word_of_another_is_no_sign_of_life() -> None:
    view = folded(AGENTS, [happened("agent.idle", 0, actor="witness", agent=SLOT)])[SLOT]
    assert (view.state, view.last_seen) == ("idle", None)
    stopped = row(folded(AGENTS, [happened("agent.stopped", 0, actor="witness", agent=SLOT)])[SLOT])
    assert agents.present(stopped, Look(now=START + timedelta(days=9)))["liveness"] == "stopped"


def test_steps_that_began_without_a_plan_are_kept_and_those_of_an_ended_process_are_pending() -> None:
    begun = happened("process.step_started", 1, process_id="p", step_id="z")
    plan = happened("process.created", 0, process_id="p", steps=[{"id": "a"}, {"id": "b", "needs": ["a"]}])
    ended = happened("process.cancelled", 9, process_id="p", reason="burned")
    assert [step.id for step in folded(PROCESSES, [begun])["p"].steps] == ["z"]
    assert [(s.id, s.state.value) for s in folded(PROCESSES, [begun, plan])["p"].steps] == [
        ("a", "ready"),
        ("b", "blocked"),
        ("z", "in_progress"),
    ]
    over = row(folded(PROCESSES, [ended, plan, begun])["p"])
    assert [step["state"] for step in over["steps"]] == ["pending", "pending", "in_progress"]
    assert processes.present(over, Look(now=START))["ready"] == ""


def test_a_failed_step_keeps_those_that_need_it_blocked_and_a_skipped_one_does_not() -> None:
    plan = happened("process.created", 0, process_id="p", steps=[{"id": "a"}, {"id": "b", "needs": ["a"]}])
    for status, then in (("failed", "blocked"), ("skipped", "ready"), ("completed", "ready")):
        done = happened("process.step_completed", 5, process_id="p", step_id="a", status=status)
        assert folded(PROCESSES, [plan, done])["p"].steps[1].state == then


def test_a_verification_that_begins_anew_has_no_verdict_yet_and_keeps_the_last() -> None:
    failed = happened("verify.verdict", 1, actor="judge", work_order_id="wo-1", verdict="FAIL")
    again = happened("verify.started", 2, work_order_id="wo-1")
    view = folded(VERIFICATIONS, [again, failed])["wo-1"]
    assert (view.verdict, view.stage) == (None, "started")
    assert [each.verdict for each in view.history] == ["FAIL"]


def test_what_is_kept_for_one_work_order_hides_no_violation_of_another() -> None:
    events = [happened("compliance.violation_detected", 1, rule_id="R", work_order_id="wo-1")]
    events.append(happened("compliance.check_passed", 2, rule_id="R", work_order_id="wo-2"))
    found = folded(RULES, events)
    assert {name: view.state.value for name, view in found.items()} == {"R/wo-1": "violated", "R/wo-2": "passed"}


def test_a_waiver_that_has_run_out_waives_nothing() -> None:
    waiver = {"approver": "supervisor", "justification": "release", "expires_at": "2026-03-01T10:00:00Z"}
    view = row(folded(RULES, [happened("compliance.waived", 0, rule_id="R", waiver=waiver)])["R"])
    assert rules.present(view, Look(now=START))["standing"] == "waived"
    assert rules.present(view, Look(now=START + timedelta(hours=1)))["standing"] == "waiver-expired"


def test_data_that_cannot_be_read_are_counted_and_stop_nothing() -> None:
    bad = happened("work_order.status_changed", 1, work_order_id="wo-1", to_status=["sideways"])
    good = happened("work_order.created", 0, work_order_id="wo-1", title="t")
    view = folded(WORK_ITEMS, [bad, good])["wo-1"]
    assert (view.unreadable, view.title) == (1, "t")
    assert folded(WORK_ITEMS, [happened("work_order.created", 0, title="nameless")]) == {}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.plural)
def test_every_column_stands_in_what_is_shown(view: Any) -> None:
    if view.grouping is not None:
        assert {name for _, name in view.columns} == {*view.grouping.values, "total"}
        return
    found = row(next(iter(folded(view.projection, list(STORY)).values())))
    shown = view.present(found, Look(now=START)) if view.present else found
    assert {name for _, name in view.columns} <= shown.keys()
