import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.errors import AgentplaneError, Conflict, Refused
from services.executor import durable
from services.executor.runstate import RunKey, RunRecord, Stage
from services.executor.statedir import StateDirectory, open_state
from tests.unit.executor.samples import NOW, assignment

CLAIMED = RunRecord(stage=Stage.CLAIMED, claimed_at=NOW)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    state = open_state(tmp_path / "state")
    yield state
    state.close()


def test_an_epoch_is_claimed_once(state: StateDirectory) -> None:
    attempt = state.claim(assignment(epoch=2), CLAIMED)
    assert attempt.load() == CLAIMED
    assert attempt.assignment() == assignment(epoch=2)
    for epoch in (1, 2):
        with pytest.raises(Conflict) as caught:
            state.claim(assignment(epoch=epoch), CLAIMED)
        assert caught.value.code == "run.epoch-taken"
    state.claim(assignment(epoch=3), CLAIMED)
    assert [str(found.key) for found in state.attempts()] == ["acme/demo-1#2", "acme/demo-1#3"]


def test_a_forgotten_epoch_stays_taken(state: StateDirectory) -> None:
    attempt = state.claim(assignment(epoch=2), CLAIMED)
    state.forget(attempt.key)
    assert list(state.attempts()) == []
    with pytest.raises(Conflict):
        state.claim(assignment(epoch=2), CLAIMED)


def test_forgetting_an_older_epoch_later_does_not_reopen_the_newer(state: StateDirectory) -> None:
    for epoch in (1, 2):
        state.claim(assignment(epoch=epoch), CLAIMED)
    state.forget(RunKey("acme", "demo-1", 2))
    state.forget(RunKey("acme", "demo-1", 1))
    with pytest.raises(Conflict):
        state.claim(assignment(epoch=2), CLAIMED)


def test_a_crash_while_claiming_leaves_nothing_claimed(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Path, target: Path) -> Path:
        raise OSError(5, "crash")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(AgentplaneError):
            state.claim(assignment(), CLAIMED)
    assert list(state.attempts()) == []
    state.claim(assignment(), CLAIMED)


def test_two_executors_never_share_a_state_directory(state: StateDirectory) -> None:
    with pytest.raises(Conflict) as caught:
        open_state(state.path)
    assert caught.value.code == "state-dir.locked"
    state.close()
    open_state(state.path).close()


def test_a_state_directory_of_another_user_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(AgentplaneError) as caught:
        open_state(tmp_path)
    assert caught.value.code == "state-dir.foreign"


@pytest.mark.parametrize("out_dir", ["../x", "/etc", "a/../../../x"])
def test_an_out_dir_never_leaves_the_runs_own_directory(state: StateDirectory, out_dir: str) -> None:
    with pytest.raises(Refused) as caught:
        state.attempt(RunKey("acme", "demo-1", 1)).out_dir(out_dir)
    assert caught.value.code == "run.out-dir"


@pytest.mark.parametrize("name", ["..", "a/b", "", "a.b"])
def test_a_name_that_is_no_single_segment_has_no_directory(state: StateDirectory, name: str) -> None:
    with pytest.raises(Refused):
        state.attempt(RunKey("acme", name, 1))


def test_a_full_disk_keeps_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    durable.write_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AgentplaneError) as caught:
        durable.write_file(path, b"new")
    assert caught.value.code == "state-dir.full"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
