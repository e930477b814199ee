"""What an executor does that is none any more: it asks when it hears nothing, waits, and stops its guests."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentplane.runners import launch as launches
from agentplane.runners.launch import ShimHandle
from agentplane.runs.protocol import HeartbeatReply
from agentplane.runs.states import Outcome
from services.executor import dismissal as module
from services.executor.dismissal import Dismissal
from services.executor.runstate import RunRecord, Stage
from services.executor.statedir import StateDirectory, open_state
from tests.unit.executor.attempts import reply
from tests.unit.executor.samples import assignment
from tests.unit.runners.test_watch import BOOT, launch_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
WORDS = "revoked since 2026-11-21 by user:op (stolen)"


class Clock:
    """Time as the test says."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Control:
    """Answers as it is told to; counts how often it was asked."""

    def __init__(self, words: str | None) -> None:
        self.words = words
        self.asked = 0

    async def __call__(self) -> str | None:
        self.asked += 1
        return self.words


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateDirectory]:
    monkeypatch.setattr(module, "_SILENCE_S", 0.0)
    opened = open_state(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def guest(state: StateDirectory) -> Iterator[ShimHandle]:
    """A real one behind its shim, as an attempt of this host."""
    record = RunRecord(stage=Stage.STARTED, claimed_at="2026-11-21T00:00:00Z")
    directory = state.claim(assignment(), record)
    launched = launches.launch_directory(str(directory.shim), 1)
    launched.mkdir(parents=True, mode=0o700)
    handle = launches.start(launched, launch_of(BOOT + "exec sleep 1000", secrets=[], deadline_s=600.0), [])
    yield handle
    handle.kill("the test is over")
    handle.wait(60)
    handle.close()


def refusal(code: str) -> HeartbeatReply:
    return HeartbeatReply(
        accepted=False,
        message="by user:op",
        assignments=(),
        cancellations=(),
        committed_index=0,
        heartbeat_seconds=1,
        code=code,
    )


async def test_its_guests_end_after_the_grace_and_say_why(state: StateDirectory, guest: ShimHandle) -> None:
    clock, control = Clock(), Control(WORDS)
    dismissal = Dismissal(state, clock, control, 60)
    await dismissal.look()
    clock.time += timedelta(seconds=59)
    await dismissal.look()
    assert guest.wait(0) is None
    clock.time += timedelta(seconds=1)
    await dismissal.look()
    ending = guest.wait(60)
    assert ending is not None
    assert (ending.outcome, ending.message) == (Outcome.CANCELLED, f"this executor is none any more: {WORDS}")
    assert control.asked == 1  # once is enough


async def test_the_grace_goes_on_across_a_restart(state: StateDirectory, guest: ShimHandle) -> None:
    clock = Clock()
    await Dismissal(state, clock, Control(WORDS), 60).look()
    clock.time += timedelta(seconds=60)
    await Dismissal(state, clock, Control(None), 60).look()  # nobody answers any more
    assert guest.wait(60) is not None


@pytest.mark.parametrize("grace_s", [0, None])
async def test_a_control_that_is_away_stops_nothing_and_no_grace_never_does(
    state: StateDirectory, guest: ShimHandle, grace_s: int | None
) -> None:
    dismissal = Dismissal(state, Clock(), Control(None if grace_s == 0 else WORDS), grace_s)
    await dismissal.look()
    assert guest.wait(0) is None


async def test_a_refused_heartbeat_counts_as_controls_word(state: StateDirectory, guest: ShimHandle) -> None:
    control = Control(None)
    dismissal = Dismissal(state, Clock(), control, 0)
    dismissal.heard(refusal("executor.disabled"))
    await dismissal.look()
    assert guest.wait(0) is None
    dismissal.heard(refusal("executor.revoked"))
    await dismissal.look()
    assert guest.wait(60) is not None
    assert json.loads((state.path / "dismissed.json").read_bytes())["words"] == "executor.revoked: by user:op"


async def test_who_is_accepted_again_forgets_it(state: StateDirectory, guest: ShimHandle) -> None:
    dismissal = Dismissal(state, Clock(), Control(WORDS), 60)
    await dismissal.look()
    dismissal.heard(reply())
    assert not (state.path / "dismissed.json").exists()


async def test_who_hears_of_control_asks_nothing(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 3600.0)
    control = Control(WORDS)
    dismissal = Dismissal(state, Clock(), control, 0)
    dismissal.heard(reply())
    await dismissal.look()
    assert control.asked == 0


@pytest.mark.parametrize(
    "kept",
    [b'{"at":"2026-11-21T00:00:00Z","words":"\xff"}', b'{"at":"2026-11-21T00:00:00","words":"w"}', b"[" * 100_000],
    ids=["no-text", "no-zone", "deep"],
)
async def test_a_torn_memory_stops_nothing_and_control_is_asked_again(
    state: StateDirectory, guest: ShimHandle, kept: bytes
) -> None:
    (state.path / "dismissed.json").write_bytes(kept)
    control = Control(None)
    await Dismissal(state, Clock(), control, 0).look()
    assert control.asked == 1
    assert guest.wait(0) is None
