"""The fold: prefixes only, once each, and nothing in the log can stop it."""

import pytest
from msgspec.structs import replace

from agentplane.controllers.state import ControlState
from agentplane.events.model import StoredEvent
from tests.scenario.world import World


def history() -> list[StoredEvent]:
    world = World()
    told = world.leased()
    executor = world.executors["exec-1"]
    world.report(executor.started(told))
    world.report(executor.finished(told))
    world.request(2)
    return world.log.events


def fold(events: list[StoredEvent]) -> ControlState:
    state = ControlState()
    for stored in events:
        state.apply(stored)
    return state


def test_applying_an_event_twice_changes_nothing() -> None:
    events = history()
    once, twice = fold(events), fold([stored for each in events for stored in (each, each)])
    assert once._runs == twice._runs
    assert once.executors() == twice.executors()
    assert once.position == twice.position == len(events)


def test_a_gap_is_an_error_and_not_a_guess() -> None:
    events = history()
    with pytest.raises(ValueError, match="does not follow"):
        fold(events[1:])


def test_a_run_that_ended_is_kept_small_and_is_no_longer_live() -> None:
    state = fold(history())
    ended = [run for run in state._runs.values() if run.ended]
    assert len(ended) == 1
    assert ended[0].created is None
    assert [run.version for run in state.live_runs()] == [3]


def test_an_event_of_an_unknown_type_moves_only_the_version() -> None:
    events = history()
    last = events[-1]
    strange = StoredEvent(
        event=replace(last.event, type="run.blessed", data={}),
        sequence=last.sequence + 1,
        stream_version=last.stream_version + 1,
        recorded_at=last.recorded_at,
    )
    before, after = fold(events), fold([*events, strange])
    name = last.event.stream.name
    known = {run.key.name: run for run in before.live_runs()}[name]
    moved = {run.key.name: run for run in after.live_runs()}[name]
    assert moved == replace(known, version=known.version + 1)


@pytest.mark.parametrize("type_", ["run.placed", "executor.leased", "run.finished"])
def test_a_fact_that_cannot_be_read_is_counted_and_stops_nothing(type_: str) -> None:
    events = [
        replace(stored, event=replace(stored.event, data={"nonsense": 1})) if stored.event.type == type_ else stored
        for stored in history()
    ]
    state = fold(events)
    assert state.unreadable == 1
    assert state.position == len(events)
