"""What control leaves alone: what a newer one has taken over, and leases that it could not watch."""

import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.errors import Transient
from agentplane.events.model import Append, Event, Phase
from agentplane.ids import EventId
from agentplane.intents.runs import run_stream
from tests.scenario.shell import AdversarialStore, Shell, times
from tests.scenario.world import TENANT, Executor

STREAM = run_stream(TENANT, "taken-over")


def said(type_version: int, expected_version: int | None) -> Append:
    number = uuid.uuid4()
    event = Event(
        id=EventId(number),
        stream=STREAM,
        type="run.queued",
        phase=Phase.FACT,
        type_version=type_version,
        time=datetime(2026, 1, 31, tzinfo=UTC),
        actor="controller:runs",
        correlation_id=number,
        causation_id=None,
        data={},
    )
    return Append(stream=STREAM, events=(event,), expected_version=expected_version)


async def test_a_stream_that_a_newer_control_wrote_on_is_left_alone() -> None:
    store = AdversarialStore()
    shell = Shell(store, MemoryBus())
    await store.append(said(99, None))
    await shell.runtime.catch_up()

    def decide(state: ControlState, now: datetime) -> Decision:
        return Decision(appends=(said(1, 1),))

    with pytest.raises(Transient, match="a newer control has written on") as caught:
        await shell.runtime.settle(decide)
    assert caught.value.code == "control.newer"
    assert caught.value.exit_status == 6
    assert "upgrade this control" in str(caught.value.hint)
    assert store.types() == ["run.queued"]


@pytest.mark.parametrize(
    ("code", "silence"),
    [("store.full", ["executor.registered"]), ("control.contended", ["executor.registered", "executor.unreachable"])],
)
async def test_silence_while_nothing_could_be_stored_says_nothing(code: str, silence: list[str]) -> None:
    """Answers to heartbeats wait for the database, so the next ones come late; a lost race is no such gap."""
    store = AdversarialStore()
    shell = Shell(store, MemoryBus())
    executor = Executor("exec-1")
    await shell.vigil.answer(subjects.heartbeat("exec-1"), msgspec.json.encode(executor.heartbeat()))
    shell.clock.time += timedelta(seconds=60)
    store.before = times(1, Transient("no space", code=code))
    await shell.vigil.check()
    await shell.vigil.check()
    assert store.types() == silence
    shell.clock.time += timedelta(seconds=60)
    await shell.vigil.check()
    assert store.types() == ["executor.registered", "executor.unreachable"]
