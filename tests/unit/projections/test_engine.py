"""Any chunking of a history gives the same views; a poison event stops its own projection and no other."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplane.events.model import StoredEvent
from agentplane.intents.runs import run_stream
from agentplane.projections.engine import (
    EVIDENCE,
    EXECUTORS,
    PROJECTIONS,
    RUNS,
    Key,
    Projection,
    fold,
    passes_by,
    touched,
)
from agentplane.runs import executors, facts
from agentplane.runs.executors import executor_stream
from agentplane.runs.states import Outcome
from tests.unit.projections.histories import FACTS, Log, run_story

OUTCOMES = st.sampled_from([None, Outcome.EXITED, Outcome.TIMEOUT, Outcome.CANCELLED])


@st.composite
def histories(draw: st.DrawFn) -> list[StoredEvent]:
    """Several runs of two tenants, interleaved at random, among executors' facts and kinds not known here."""
    runs = draw(st.lists(st.tuples(st.sampled_from(["acme", "rival"]), st.integers(0, 3), OUTCOMES), max_size=5))
    stories = [
        [(run_stream(tenant, f"run-{number}"), *each) for each in run_story(f"run-{number}", tenant, outcome)]
        for tenant, number, outcome in runs
    ]
    registered = executors.ExecutorRegistered(key_id="k", boot_id="b", facts=FACTS)
    stories.append([(executor_stream("exec-1"), executors.REGISTERED, registered, "controller:heartbeats")])
    stories.append([(run_stream("acme", "run-0"), "run.blessed", {"a": 1}, "user:future")])
    log = Log()
    while any(stories):
        story = draw(st.sampled_from([each for each in stories if each]))
        stream, type_, data, actor = story.pop(0)
        log.add(stream, type_, data, actor=actor)
    return log.stored


def folded_in(projection: Projection, events: Sequence[StoredEvent], sizes: Sequence[int]) -> dict[Key, Any]:
    """As the store does it: load what a batch touches, fold, keep what changed."""
    views: dict[Key, Any] = {}
    position, remaining, turns = 0, list(events), iter(sizes)
    while remaining:
        size = next(turns, len(remaining))
        batch, remaining = remaining[:size], remaining[size:]
        known = {key: views[key] for key in touched(projection, batch) if key in views}
        result = fold(projection, known, batch, position)
        assert result.poison is None
        position = result.position
        views |= result.changed
    assert position == (events[-1].sequence if events else 0)
    return views


@settings(max_examples=60, deadline=None)
@given(events=histories(), sizes=st.lists(st.integers(1, 7), max_size=40))
def test_any_chunking_gives_the_same_views(events: list[StoredEvent], sizes: list[int]) -> None:
    for projection in PROJECTIONS.values():
        whole = folded_in(projection, events, [])
        assert folded_in(projection, events, sizes) == whole
        assert folded_in(projection, events, [1] * len(events)) == whole


@settings(max_examples=30, deadline=None)
@given(events=histories())
def test_every_envelope_has_exactly_one_row(events: list[StoredEvent]) -> None:
    carriers = [each for each in events if each.event.type in (facts.CREATED, facts.PLACED, facts.EVIDENCE)]
    rows = folded_in(EVIDENCE, events, [])
    assert [row.sequence for row in rows.values()] == [each.sequence for each in carriers]


@pytest.mark.parametrize("projection", [RUNS, EVIDENCE])
def test_a_poison_event_stops_before_it_and_says_why(projection: Projection) -> None:
    log = Log()
    log.run("good")
    good = len(log.stored)
    log.add(run_stream("acme", "bad"), facts.PLACED, {"executor": 5})
    log.run("after")
    result = fold(projection, {}, log.stored, 0)
    assert result.position == good
    assert result.poison is not None
    assert result.poison.sequence == good + 1
    assert "event.payload" in result.poison.reason
    assert ("acme", "bad") not in result.changed
    assert fold(EXECUTORS, {}, log.stored, 0).position == len(log.stored)


def test_a_mistake_in_a_fold_is_poison_too() -> None:
    def apply(_: object, __: StoredEvent) -> object:
        raise KeyError("a mistake")

    log = Log()
    log.run("r")
    result = fold(RUNS._replace(apply=apply), {}, log.stored, 0)
    assert result.position == 0
    assert result.poison is not None
    assert "KeyError" in result.poison.reason


@pytest.mark.parametrize("mistake", [RecursionError("deep"), AssertionError("no"), RuntimeError("x"), MemoryError()])
def test_any_failure_of_a_domains_code_stops_that_projection_only(mistake: Exception) -> None:
    def fails(*_: object) -> None:
        raise mistake

    log = Log()
    log.run("r")
    for broken in (RUNS._replace(apply=fails), RUNS._replace(key=fails)):
        assert touched(broken, log.stored) is not None
        result = fold(broken, {}, log.stored, 0)
        assert result.poison is not None
        assert type(mistake).__name__ in result.poison.reason


@pytest.mark.parametrize("key", [("acme", "a\0b"), ("acme", None), ("acme", 7)])
def test_a_key_that_no_table_can_hold_is_poison(key: Any) -> None:
    log = Log()
    log.run("r")
    odd = RUNS._replace(key=lambda _: key)
    assert touched(odd, log.stored) == ()
    assert fold(odd, {}, log.stored, 0).poison is not None
    assert fold(RUNS._replace(apply=lambda *_: {"no": "view"}), {}, log.stored, 0).poison is not None


def test_an_executor_shows_leases_reachability_and_journal() -> None:
    log = Log()
    log.executor("exec-1")
    stream = executor_stream("exec-1")
    log.add(stream, executors.UNREACHABLE, executors.ExecutorUnreachable(message="no heartbeat"))
    advanced = executors.ExecutorJournalAdvanced(index=4, digest="sha256:x", tenant="acme", run="r")
    log.add(stream, executors.JOURNAL_ADVANCED, advanced)
    view = fold(EXECUTORS, {}, log.stored, 0).changed["system", "exec-1"]
    assert (view.reachable, view.message, view.journal_index) == (False, "no heartbeat", 4)
    assert [lease.run for lease in view.leases] == ["r"]
    log.add(stream, executors.RECOVERED, executors.ExecutorRecovered(message="back"))
    log.add(stream, executors.RELEASED, executors.ExecutorReleased(tenant="acme", run="r", epoch=1, reason="finished"))
    view = fold(EXECUTORS, {}, log.stored, 0).changed["system", "exec-1"]
    assert (view.reachable, view.leases) == (True, ())


def test_a_key_that_cannot_be_said_stops_that_projection_before_the_event() -> None:
    log = Log()
    log.run("one")

    def key(stored: StoredEvent) -> tuple[str, ...] | None:
        if stored.sequence == 3:
            raise KeyError("nothing there")
        return RUNS.key(stored)

    broken = RUNS._replace(key=key)
    assert not passes_by(broken, log.stored[2:3])
    assert touched(broken, log.stored) == touched(RUNS, log.stored)
    done = fold(broken, {}, log.stored, 0)
    assert done.poison is not None
    assert (done.position, done.poison.sequence) == (2, 3)
    assert "KeyError" in done.poison.reason
