"""A spare shim supervises like one that was started for its run, and goes when nobody needs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.runners import launch as launches
from agentplane.runners.shim.contract import Launch
from agentplane.runners.spare import Spare, spawn
from agentplane.runs.states import Outcome

SCRIPT = """
echo '{"event":"booted"}' >&3; echo '{"event":"started"}' >&3
ls /proc/self/fd | wc -l; pwd; env; cat /proc/self/fd/8
echo '{"event":"exited","code":0}' >&3; echo '{"event":"finished"}' >&3
"""
LAUNCH: Launch = {
    "run": "r",
    "tenant": "t",
    "epoch": 1,
    "attempt": 1,
    "argv": ["/bin/sh", "-c", SCRIPT],
    "environment": {"FOR": "the program"},
    "channels": [
        {"name": "console", "fds": [1, 2], "pipe": True, "cap_bytes": 1000},
        {"name": "events", "fds": [3], "pipe": True, "cap_bytes": 1000},
        {"name": "result", "fds": [4], "pipe": True, "cap_bytes": 1000},
    ],
    "files": {},
    "secrets": [("A", 8)],
    "scratch": None,
    "users": None,
    "limits": None,
    "boot_timeout_s": 20.0,
    "deadline_s": 20.0,
    "collect_timeout_s": 20.0,
    "room_timeout_s": 20.0,
    "stop_timeout_s": 0.1,
}


@pytest.fixture
def spare() -> Iterator[Spare]:
    made = Spare()
    yield made
    made.close()


def told(directory: Path, spare: Spare | None) -> str:
    """What the program of one launch says."""
    directory.mkdir()
    handle = launches.start(directory, LAUNCH, [b"hush"], spare)
    ending = handle.wait()
    handle.close()
    assert ending is not None
    assert ending.outcome is Outcome.EXITED
    assert (directory / "shim.log").read_text() == ""
    return (directory / "console.log").read_text()


def test_its_program_sees_what_that_of_any_shim_sees(tmp_path: Path, spare: Spare) -> None:
    spare.warm()
    said = told(tmp_path / "spare", spare)
    assert said.endswith("hush")
    assert said == told(tmp_path / "own", None)
    assert spare.take() is None  # it is used up


def test_there_is_one_at_most(spare: Spare) -> None:
    spare.warm()
    spare.warm()
    taken = spare.take()
    assert taken is not None
    assert spare.take() is None
    taken.communicate()


def test_one_that_died_is_replaced_or_done_without(tmp_path: Path, spare: Spare) -> None:
    def die() -> None:
        assert spare._waiting is not None
        spare._waiting.kill()
        spare._waiting.wait()

    spare.warm()
    die()
    assert "hush" in told(tmp_path / "without", spare)
    spare.warm()
    die()
    spare.warm()
    assert "hush" in told(tmp_path / "replaced", spare)


def test_it_goes_with_its_executor_and_leaves_nothing() -> None:
    waiting = spawn([])
    out, _ = waiting.communicate()  # ends its standard input, as the kernel does when an executor is killed
    assert (waiting.returncode, out) == (0, b"")


def test_a_directory_that_is_not_there_is_a_failure_of_the_launch(tmp_path: Path, spare: Spare) -> None:
    spare.warm()
    waiting = spare.take()
    assert waiting is not None
    nowhere = str(tmp_path / "gone").encode()
    out, _ = waiting.communicate(len(nowhere).to_bytes(4, "big") + nowhere)
    assert (waiting.returncode, out) == (1, b"")


def test_who_still_prepares_after_the_close_starts_none(spare: Spare) -> None:
    spare.warm()
    spare.close()
    spare.warm()
    assert spare.take() is None
