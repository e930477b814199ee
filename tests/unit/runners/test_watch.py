"""The watch over a program, with a shell script in the place of QEMU: every stream, every phase, no guest needed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentplane.runners.shim.contract import Ended, Launch
from agentplane.runners.shim.spawn import spawn
from agentplane.runners.shim.watch import Watch
from agentplane.runs.states import Outcome

BOOT = """echo '{"event":"booted"}' >&3; echo '{"event":"started"}' >&3;"""
DONE = """echo '{"event":"exited","code":0}' >&3; echo '{"event":"finished"}' >&3;"""


def launch_of(script: str, **changes: Any) -> Launch:
    """What a shim is told, to run a script."""
    launch: Launch = {
        "run": "r",
        "tenant": "t",
        "epoch": 1,
        "attempt": 1,
        "argv": ["/bin/sh", "-c", script],
        "environment": {},
        "channels": [
            {"name": "console", "fds": [1, 2], "pipe": True, "cap_bytes": 1000},
            {"name": "events", "fds": [3], "pipe": True, "cap_bytes": 1000},
            {"name": "result", "fds": [4], "pipe": True, "cap_bytes": 1000},
        ],
        "files": {"9": "from memory"},
        "secrets": [("A", 8)],
        "scratch": None,
        "users": None,
        "limits": None,
        "boot_timeout_s": 20.0,
        "deadline_s": 20.0,
        "collect_timeout_s": 20.0,
        "stop_timeout_s": 0.1,
    }
    launch.update(changes)  # type: ignore[typeddict-item]
    return launch


def watching(directory: Path, script: str, **changes: Any) -> tuple[Watch, int]:
    """A watch that begins, and the descriptor by which it is told to end."""
    launch = launch_of(script, **changes)
    interrupted, told = os.pipe()
    return Watch(launch, spawn(launch, [b"hush"], str(directory)), str(directory), interrupted), told


def watched(directory: Path, script: str, **changes: Any) -> Ended:
    watch, told = watching(directory, script, **changes)
    ended = watch.run()
    os.close(told)
    os.close(watch.interrupted)
    return ended


def events(directory: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (directory / "events.jsonl").read_text().splitlines()]


def test_a_program_finds_what_it_inherits(tmp_path: Path) -> None:
    script = BOOT + "cat /proc/self/fd/9; cat /proc/self/fd/8 | tr a-z A-Z; printf tar >&4;" + DONE
    ended = watched(tmp_path, script)
    assert (ended["outcome"], ended["result_complete"]) == (Outcome.EXITED, True)
    assert (tmp_path / "console.log").read_text() == "from memoryHUSH"
    assert (tmp_path / "result.tar").read_text() == "tar"
    assert events(tmp_path) == ["booted", "started", "exited", "finished"]


def test_only_what_is_given_is_inherited(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    ours = os.readlink(f"/proc/self/fd/{writing}")  # noqa: PTH115 - it leads to no path
    watched(tmp_path, BOOT + "ls -l /proc/self/fd;" + DONE)
    os.close(reading)
    os.close(writing)
    listing = (tmp_path / "console.log").read_text()
    assert " 9 -> /memfd:config" in listing
    assert ours not in listing


def test_a_guest_that_repeats_itself_fills_no_disk(tmp_path: Path) -> None:
    ended = watched(tmp_path, f"for i in $(seq 500); do {BOOT} done; {DONE}")
    assert ended["outcome"] == Outcome.EXITED
    assert events(tmp_path) == ["booted", "started", "exited", "finished"]


def test_two_different_exits_are_a_crash(tmp_path: Path) -> None:
    ended = watched(tmp_path, BOOT + """echo '{"event":"exited","code":1}' >&3;""" + DONE)
    assert (ended["outcome"], ended["exit_code"]) == (Outcome.GUEST_CRASHED, -1)


@pytest.mark.parametrize("code", ["-1", "256", "true", '"0"', "1e400", "null"])
def test_an_exit_code_that_is_none_becomes_255(tmp_path: Path, code: str) -> None:
    script = BOOT + f"""echo '{{"event":"exited","code":{code}}}' >&3; echo '{{"event":"finished"}}' >&3"""
    assert watched(tmp_path, script)["exit_code"] == 255


@pytest.mark.parametrize(
    ("script", "limit", "outcome", "words"),
    [
        ("exec sleep 60", {"boot_timeout_s": 0.05}, Outcome.HOST_FAILED, "had not started after 0.05 s"),
        (BOOT + "exec sleep 60", {"deadline_s": 0.05}, Outcome.TIMEOUT, "still running after 0.05 s"),
        (BOOT + "trap '' TERM; sleep 60", {"deadline_s": 0.05}, Outcome.TIMEOUT, "still running"),
        (
            BOOT + """echo '{"event":"exited","code":0}' >&3; exec sleep 60""",
            {"collect_timeout_s": 0.05},
            Outcome.RESULT_REFUSED,
            "not handed out within 0.05 s",
        ),
        (BOOT + "exec cat /dev/zero >&4", {}, Outcome.RESULT_REFUSED, "larger than 1000 bytes"),
        ("echo no such option; exit 1", {}, Outcome.HOST_FAILED, "sh ended with status 1, before the guest had booted"),
        (BOOT + "kill -ABRT $$", {}, Outcome.HOST_FAILED, "sh was killed by signal 6"),
        (BOOT + "exit 0", {}, Outcome.GUEST_CRASHED, "without an exit of its workload"),
    ],
)
def test_each_phase_has_its_end(
    tmp_path: Path, script: str, limit: dict[str, float], outcome: Outcome, words: str
) -> None:
    ended = watched(tmp_path, script, **limit)
    assert ended["outcome"] == outcome
    assert words in ended["message"]


def test_a_program_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="does not start"):
        watched(tmp_path, "", argv=["/no/such/program"])
