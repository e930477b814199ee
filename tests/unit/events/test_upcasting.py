"""Old events read as today's, step by step; new ones never guessed at."""

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.controllers.state import ControlState
from agentplane.errors import Refused
from agentplane.events.codec import payload, strictly
from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.events.upcasting import EventType, Upcasters
from agentplane.ids import EventId
from agentplane.projections.engine import RESOURCES, RUNS, fold
from agentplane.runs.facts import PLACED
from agentplane.runs.model import CancelRequested, RunRequeued

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def stored(
    type_: str, version: int, data: dict[str, Any], *, kind: str = "Lamp", sequence: int = 1, phase: Phase = Phase.FACT
) -> StoredEvent:
    id_ = EventId(uuid.uuid5(uuid.NAMESPACE_URL, f"{type_}/{version}/{sequence}"))
    event = Event(
        id=id_,
        stream=StreamId("acme", kind, "default", "one"),
        phase=phase,
        type=type_,
        type_version=version,
        actor="controller:x",
        time=NOW,
        correlation_id=id_,
        data=data,
    )
    return StoredEvent(event=event, sequence=sequence, stream_version=sequence, recorded_at=NOW)


def to_two(data: dict[str, Any]) -> dict[str, Any]:
    return {"lumen": data["watt"] * 10}


def to_three(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "unit": "lm"}


KNOWN = Upcasters((EventType(name="lamp.lit", upcasts=(to_two, to_three)),))


@pytest.mark.parametrize(("version", "data"), [(1, {"watt": 4}), (2, {"lumen": 40}), (3, {"lumen": 40, "unit": "lm"})])
def test_every_older_form_goes_up_step_by_step(version: int, data: dict[str, Any]) -> None:
    before = stored("lamp.lit", version, data)
    after = KNOWN.current(before)
    assert (after.event.data, after.event.type_version) == ({"lumen": 40, "unit": "lm"}, 3)
    assert (after.event.id, after.sequence) == (before.event.id, before.sequence)
    assert before.event.data == data  # what is stored stays as it is


def test_a_type_that_never_changed_is_passed_on_as_it_is() -> None:
    event = stored("lamp.off", 1, {})
    assert KNOWN.current(event) is event
    assert (KNOWN.version("lamp.off"), KNOWN.version("lamp.lit")) == (1, 3)


def test_a_newer_version_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="version 4, known here up to 3") as caught:
        KNOWN.current(stored("lamp.lit", 4, {}))
    assert caught.value.code == "event.newer"


def test_a_step_that_fails_says_so_and_not_what_was_in_it() -> None:
    with pytest.raises(Refused) as caught:
        KNOWN.current(stored("lamp.lit", 1, {"secret": "hunter2"}))
    assert caught.value.code == "event.upcast"
    assert "hunter2" not in str(caught.value)


def test_a_type_is_declared_once() -> None:
    with pytest.raises(Refused):
        Upcasters((EventType(name="lamp.lit"), EventType(name="lamp.lit")))


def test_a_projection_stands_before_a_newer_event_and_says_why() -> None:
    folded = fold(RUNS, {}, [stored(PLACED, 2, {}, kind="Run", sequence=8)], 7)
    assert folded.position == 7
    assert folded.poison is not None
    assert folded.poison.reason.startswith("event.newer: ")
    assert "run.placed has version 2, known here up to 1" in folded.poison.reason


def test_folds_of_ours_are_not_held_up_by_the_types_of_domains() -> None:
    folded = fold(RESOURCES, {}, [stored("lamp.lit", 2, {}, sequence=8)], 7)
    assert (folded.position, folded.poison) == (8, None)


@pytest.mark.parametrize(("actor", "namespace"), [("user:alice", "default"), ("controller:x", "imported.default")])
def test_nobody_waits_for_versions_that_people_and_imports_claim(actor: str, namespace: str) -> None:
    claimed = stored("lamp.lit", 9, {"lumen": 1})
    stream = replace(claimed.event.stream, namespace=namespace)
    claimed = replace(claimed, event=replace(claimed.event, actor=actor, stream=stream))
    assert KNOWN.current(claimed) is claimed


def test_control_leaves_a_stream_alone_that_a_newer_one_has_written_on() -> None:
    state = ControlState()
    for each in (
        stored("resource.deleted", 2, {}),
        stored("lamp.lit", 2, {}, kind="Lamp", sequence=2),
        stored("lamp.lit", 2, {}, kind="Torch", sequence=3),
    ):
        state.apply(each)
    assert (state.position, state.newer) == (3, 1)  # what comes after it on its stream is not even looked at
    assert state.is_beyond(StreamId("acme", "Lamp", "default", "one"))
    assert not state.is_beyond(StreamId("acme", "Torch", "default", "one"))  # no fold looks into a domain's type


def test_facts_may_have_fields_more_and_wishes_may_not() -> None:
    fact = stored("run.requeued", 1, {"reason": "lost", "since": "a newer version"}, kind="Run")
    assert payload(fact.event, RunRequeued).reason == "lost"
    wish = stored("run.cancel-requested", 1, {"reason": "", "force": True}, kind="Run", phase=Phase.INTENT)
    with pytest.raises(Refused, match="force"):
        payload(wish.event, CancelRequested)
    assert strictly({"reason": "x"}, CancelRequested).reason == "x"
