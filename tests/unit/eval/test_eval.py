"""Figures over events: by hand, of nothing, and whatever the order."""

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplane.domains.work.tests.streams_of_events import happened, stored
from agentplane.domains.work.tests.test_projections import STORY
from agentplane.eval.model import Metric, Standing
from agentplane.eval.observing import Observed
from agentplane.eval.report import SECTIONS, Report, evaluate, markdown
from agentplane.events.model import Event, StoredEvent


def report(events: Sequence[Event]) -> Report:
    return evaluate(Observed(stored(events)), tenant="acme")


def metrics(events: Sequence[Event]) -> dict[str, Metric]:
    return {each.name: each for section in report(events).sections for each in section.metrics}


def figures(events: Sequence[Event], name: str) -> tuple[float | None, float | None, float | None]:
    found = metrics(events)[name]
    return (found.numerator, found.denominator, found.value)


def created(name: str, at: float = 0) -> Event:
    return happened("work_order.created", at, work_order_id=name, title="t")


def closed(name: str, at: float = 100, **more: Any) -> Event:
    return happened("work_order.closed", at, work_order_id=name, **more)


def test_of_nothing_every_rate_is_null_and_every_count_is_0() -> None:
    for metric in metrics([]).values():
        assert metric.value == (0 if metric.unit == "count" else None), metric.name
        wanted = {"ratio", "seconds", "count", "per hour", "per item"}
        assert metric.unit in wanted
        if metric.unit != "count":
            assert metric.standing in {Standing.UNKNOWN, Standing.NONE}


def test_names_are_distinct_and_say_everything() -> None:
    listed = [each for section in report([]).sections for each in section.metrics]
    assert len({each.name for each in listed}) == len(listed)
    assert all(each.formula and each.source and each.counted for each in listed)


def test_both_completion_rates_count_what_they_say() -> None:
    events = [created(f"w{number}") for number in range(5)]
    events += [closed("w0"), closed("w1"), closed("w2", ending="failed")]
    events.append(happened("work_order.status_changed", 101, work_order_id="w0", to_status="closed"))
    events.append(happened("process.created", 1, process_id="p3", work_order_id="w3"))
    events.append(happened("process.cancelled", 50, process_id="p3", reason="burned"))
    assert figures(events, "completion_rate_created") == (3, 5, 0.6)
    assert figures(events, "completion_rate_ended") == (2, 4, 0.5)
    assert metrics(events)["completion_rate_ended"].standing is Standing.MISSED


def test_a_log_of_processes_alone_has_a_completion_rate() -> None:
    events = [happened("process.completed", n, process_id=f"p{n}") for n in range(3)]
    events.append(happened("process.cancelled", 9, process_id="p9"))
    events.append(happened("process.step_completed", 9, process_id="p8", step_id="s", status="failed"))
    assert figures(events, "completion_rate_ended") == (3, 5, 0.6)


def test_work_whose_agent_was_killed_is_abandoned_and_reopened_work_has_not_ended() -> None:
    events = [created("w0"), created("w1"), closed("w1", 10)]
    events.append(happened("work_order.status_changed", 20, work_order_id="w1", to_status="open"))
    events.append(happened("agent.working", 5, actor="slot0", work_order_id="w0"))
    events.append(happened("agent.stopped", 9, actor="slot0", reason="killed by witness"))
    assert figures(events, "completion_rate_ended") == (0, 1, 0)


def test_first_pass_and_rework() -> None:
    events = [closed(f"w{number}") for number in range(4)]
    events.append(happened("verify.verdict", 5, work_order_id="w0", verdict="FAIL"))
    events.append(happened("mail.sent", 6, message_id="m", to="a", message_type="REWORK_REQUEST", work_order_id="w1"))
    assert figures(events, "first_pass_rate") == (2, 4, 0.5)
    assert figures(events, "rework_rate") == (1, 4, 0.25)
    assert metrics(events)["rework_rate"].standing is Standing.MET


def test_compliance_counts_each_kind_of_check_apart_and_both_together() -> None:
    events = [happened("agent.assignment_checked", n, response_ms=ms) for n, ms in enumerate((10, 29_999, 30_000))]
    events.append(happened("assignment.checked", 9))
    assert figures(events, "assignment_compliance_agent") == (2, 3, 0.666667)
    assert figures(events, "assignment_compliance_assignment") == (0, 1, 0)
    assert figures(events, "assignment_compliance") == (2, 4, 0.5)


def test_response_time_runs_from_assignment_to_work() -> None:
    events = [
        happened("work_order.assigned", 0, work_order_id="w", agent="a"),
        happened("agent.working", 20, actor="a", work_order_id="w"),
    ]
    assert metrics(events)["assignment_response_time"].value == 20
    assert metrics(events)["assignment_response_time"].standing is Standing.MET


def test_delivery() -> None:
    events = [happened("mail.sent", n, message_id=f"m{n}", to="a") for n in range(4)]
    events += [happened("mail.delivered", 9, message_id=f"m{n}", recipient="a") for n in (0, 1, 7)]
    events.append(happened("mail.archived", 10, actor="a", message_id="m0"))
    assert figures(events, "delivery_rate") == (2, 4, 0.5)
    assert figures(events, "processing_rate") == (1, 3, 0.333333)
    assert metrics(events)["lost_messages"].value == 2


def test_recovery_counts_a_failure_once_and_tells_people_from_machines() -> None:
    events = [
        happened("agent.started", 0, actor="a"),
        happened("agent.failure", 10, actor="a"),
        happened("agent.stopped", 12, actor="a", exit_code=1),
        happened("agent.started", 70, actor="a"),
        happened("agent.stopped", 80, actor="a", reason="completed", exit_code=0),
        happened("agent.started", 90, actor="a"),
        happened("agent.offline", 100, actor="w", agent="a"),
        happened("agent.started", 400, actor="user:ada", agent="a"),
        happened("agent.stopped", 500, actor="a", reason="crashed"),
    ]
    assert figures(events, "auto_recovery_rate") == (1, 3, 0.333333)
    assert metrics(events)["mttr_failed"].value == 180
    assert metrics(events)["mttr_stopped"].value == 34
    assert figures(events, "manual_restart_rate") == (1, 3, 0.333333)


def test_verification_with_labels() -> None:
    events = []
    for name, verdict, defective in (
        ("a", "FAIL", True),
        ("b", "PASS", True),
        ("c", "FAIL", False),
        ("d", "PASS", False),
    ):
        events.append(happened("verify.verdict", 10, work_order_id=name, verdict=verdict, reasoning="because"))
        events.append(happened("verify.labelled", 20, actor="user:ada", work_order_id=name, defective=defective))
    events.append(happened("verify.verdict", 10, work_order_id="e", verdict="NEEDS_HUMAN"))
    found = metrics(events)
    assert figures(events, "pass_rate") == (2, 5, 0.4)
    assert found["needs_human_rate"].value == 0.2
    assert [found[name].value for name in ("true_positive_rate", "false_negative_rate")] == [0.5, 0.5]
    assert [found[name].value for name in ("false_discovery_rate", "false_positive_rate")] == [0.5, 0.5]
    assert found["reasoned_rate"].value == 0.8


def test_without_labels_nobody_knows_what_was_caught() -> None:
    found = metrics([happened("verify.verdict", 1, work_order_id="a", verdict="FAIL")])
    for name in ("true_positive_rate", "false_negative_rate", "false_discovery_rate", "false_positive_rate"):
        assert found[name].value is None


def test_the_judge_is_held_against_the_audits_of_the_same_review() -> None:
    events = [
        happened("verify.started", 0, work_order_id="a"),
        happened("verify.audited", 1, work_order_id="a", criterion="AC-1", assessment="PASS"),
        happened("verify.audited", 2, work_order_id="a", criterion="AC-2", assessment="FAIL"),
        happened("verify.verdict", 60, work_order_id="a", verdict="FAIL"),
        happened("mail.sent", 90, message_id="m", to="qa", message_type="READY_FOR_QA", work_order_id="a"),
        happened("verify.audited", 100, work_order_id="a", assessment="NEEDS_HUMAN"),
        happened("verify.verdict", 120, work_order_id="a", verdict="PASS"),
        happened("verify.verdict", 130, work_order_id="a", verdict="PASS"),
    ]
    assert figures(events, "flip_rate") == (1, 2, 0.5)
    assert metrics(events)["verification_time_started"].value == 60
    assert metrics(events)["verification_time_ready"].value == 30


def test_throughput() -> None:
    events = [created("w"), happened("agent.working", 300, actor="a", work_order_id="w"), closed("w", 3600)]
    events.append(happened("agent.idle", 600, actor="a"))
    events.append(happened("agent.working", 700, actor="a"))
    events.append(happened("metrics.snapshot", 800, counters={"llm_invocations": 40}))
    events.append(happened("metrics.snapshot", 900, counters={"llm_invocations": 45}))
    found = metrics(events)
    assert found["work_orders_per_hour"].value == 1
    assert found["queue_wait"].value == 300
    assert found["cycle_time"].value == 3600
    assert figures(events, "idle_share") == (100, 400, 0.25)
    assert found["llm_calls_per_work_order"].value == 45


def test_a_status_merged_is_as_good_as_a_message_merged() -> None:
    events = [created("w"), happened("work_order.status_changed", 60, work_order_id="w", to_status="merged")]
    assert metrics(events)["time_to_merge"].value == 60
    assert figures(events, "completion_rate_ended") == (0, 0, None)
    events.append(happened("mail.sent", 30, message_id="m", to="a", message_type="MERGED", work_order_id="w"))
    assert metrics(events)["time_to_merge"].value == 30


def test_fractions_of_any_length_are_prompt_or_not() -> None:
    words = ("29999.99999999999636202119", "1.5e-05", "30000.00000000000001")
    checks = [happened("agent.assignment_checked", 1, response_ms=each) for each in words]
    assert figures(checks, "assignment_compliance") == (2, 3, round(2 / 3, 6))


def test_work_that_began_before_it_was_created_is_left_out_and_said_so() -> None:
    events = [created("w", 100), happened("agent.working", 50, actor="a", work_order_id="w")]
    wait = metrics(events)["queue_wait"]
    assert (wait.value, wait.left_out) == (None, 1)
    assert "(1 left out)" in markdown(report(events))


def test_facts_that_cannot_be_read_are_counted() -> None:
    assert report([happened("work_order.created", 0, work_order_id="w")]).unreadable == 1


KINDS = st.sampled_from(
    [
        ("work_order.created", {"title": "t"}),
        ("work_order.closed", {}),
        ("work_order.status_changed", {"to_status": "in_progress"}),
        ("work_order.assigned", {"agent": "slot"}),
        ("agent.working", {}),
        ("verify.started", {}),
        ("verify.audited", {"assessment": "PASS"}),
        ("verify.verdict", {"verdict": "FAIL"}),
        ("verify.labelled", {"defective": True}),
    ]
)
HISTORIES = st.lists(
    st.tuples(KINDS, st.integers(0, 50), st.sampled_from(["w1", "w2"]), st.sampled_from(["a", "b"])), max_size=25
)


@settings(max_examples=80, deadline=None)
@given(HISTORIES, st.randoms(use_true_random=False))
def test_the_same_log_shuffled_and_repeated_gives_the_same_report(
    history: list[tuple[tuple[str, dict[str, Any]], int, str, str]], chance: random.Random
) -> None:
    events = [*STORY, *(happened(k, at, actor=who, work_order_id=wo, **data) for (k, data), at, wo, who in history)]
    log = stored(events)
    mixed: list[StoredEvent] = [*log, *log[::2]]
    chance.shuffle(mixed)
    one, other = (evaluate(Observed(each), tenant="acme") for each in (log, mixed))
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
    assert markdown(one) == markdown(other)


@settings(max_examples=60, deadline=None)
@given(HISTORIES)
def test_every_ratio_is_null_exactly_when_there_is_nothing_to_divide_by(
    history: list[tuple[tuple[str, dict[str, Any]], int, str, str]],
) -> None:
    for metric in metrics([happened(k, at, actor=a, work_order_id=w, **d) for (k, d), at, w, a in history]).values():
        if metric.denominator is not None:
            assert (metric.value is None) == (metric.denominator == 0), metric.name


@pytest.mark.parametrize("name", SECTIONS)
def test_one_section_alone_is_that_of_the_whole_report(name: str) -> None:
    observed = Observed(stored(STORY))
    (alone,) = evaluate(observed, tenant="acme", sections=(name,)).sections
    assert alone in evaluate(observed, tenant="acme").sections
