"""The parts of the shim, without a program."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.runners.shim import cgroups
from agentplane.runners.shim.channels import MAX_LINE_BYTES, FileDrain, LineDrain, last_words
from agentplane.runners.shim.judge import Seen, judge
from agentplane.runners.shim.state import start_ticks, try_lock, write_json
from agentplane.runs.states import Outcome

STARTED = Seen(program="qemu", status=0, booted=True, started=True, finished=True, deadline_s=5)


@pytest.mark.parametrize(
    ("changes", "outcome", "exit_code"),
    [
        ({"exit_code": 0}, Outcome.EXITED, 0),
        ({"exit_code": 3}, Outcome.EXITED, 3),
        ({"exit_code": 137}, Outcome.EXITED, 137),
        ({"exit_code": 137, "oom_kills": 1}, Outcome.OOM_KILLED, -1),
        ({"exit_code": 0, "oom_kills": 1}, Outcome.EXITED, 0),
        ({"exit_code": 1, "disk_failure": "Input/output error"}, Outcome.HOST_FAILED, -1),
        ({"exit_code": 0, "disk_failure": "Input/output error"}, Outcome.EXITED, 0),
        ({"status": -9, "oom_kills": 1}, Outcome.OOM_KILLED, -1),
        ({"status": -9}, Outcome.HOST_FAILED, -1),
        ({"status": -6, "last_words": "Assertion failed"}, Outcome.HOST_FAILED, -1),
        ({"last_words": "Kernel panic"}, Outcome.GUEST_CRASHED, -1),
        ({"exit_code": 0, "contradicted": True}, Outcome.GUEST_CRASHED, -1),
        ({"exit_code": 4, "finished": False}, Outcome.RESULT_REFUSED, 4),
        ({"exit_code": 4, "stop": "collect", "stop_reason": "late", "finished": False}, Outcome.RESULT_REFUSED, 4),
        ({"exit_code": 4, "stop": "overflow", "stop_reason": "large"}, Outcome.RESULT_REFUSED, 4),
        ({"stop": "overflow", "stop_reason": "large"}, Outcome.RESULT_REFUSED, -1),
        ({"stop": "deadline", "status": -9}, Outcome.TIMEOUT, -1),
        ({"stop": "cancel", "stop_reason": "asked", "exit_code": 0}, Outcome.CANCELLED, -1),
        ({"stop": "host", "stop_reason": "No space left"}, Outcome.HOST_FAILED, -1),
        ({"started": False, "stop": "stalled", "stop_reason": "nothing"}, Outcome.HOST_FAILED, -1),
        ({"started": False, "failed": "no payload"}, Outcome.HOST_FAILED, -1),
        ({"started": False, "booted": False, "status": 1, "last_words": "bad option"}, Outcome.HOST_FAILED, -1),
    ],
)
def test_each_ending_has_its_outcome(changes: dict[str, Any], outcome: Outcome, exit_code: int) -> None:
    seen = STARTED._replace(**changes)
    verdict = judge(seen)
    assert (verdict.outcome, verdict.exit_code) == (outcome, exit_code)
    assert verdict.message
    if seen.stop is None and outcome is not Outcome.OOM_KILLED and seen.exit_code is None:
        assert seen.last_words in verdict.message


def lines_of(chunks: list[bytes]) -> tuple[list[dict[str, object]], LineDrain]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    lines: list[dict[str, object]] = []
    drain = LineDrain("events", reading, lines.append)
    for chunk in chunks:
        drain.take(chunk)
    drain.close()
    os.close(writing)
    return lines, drain


def test_lines_come_whole_however_they_are_cut() -> None:
    data = b'{"event":"booted"}\n{"event":"exited","code":3}\n'
    for cut in range(len(data)):
        lines, drain = lines_of([data[:cut], data[cut:]])
        assert lines == [{"event": "booted"}, {"event": "exited", "code": 3}]
        assert not drain.truncated


def test_the_rest_of_an_overlong_line_is_no_line() -> None:
    lines, drain = lines_of([b"{" * (MAX_LINE_BYTES + 1), b'"event":"exited","code":0}\n{"event":"booted"}\n'])
    assert lines == [{"event": "booted"}]
    assert drain.truncated


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_bytes_break_the_event_stream(chunks: list[bytes]) -> None:
    lines, _ = lines_of([*chunks, b'\n{"event":"booted"}\n'])
    assert lines[-1] == {"event": "booted"}


def test_deep_nesting_is_dropped() -> None:
    lines, drain = lines_of([b"[" * 10_000 + b"\n" + b"1" * 9000 + b"\n", b'{"a":1}\n'])
    assert lines == [{"a": 1}]
    assert drain.truncated


def drained(tmp_path: Path, data: list[bytes], cap: int) -> tuple[bytes, FileDrain]:
    reading, writing = os.pipe()
    drain = FileDrain("console", reading, str(tmp_path / "console.log"), cap)
    for chunk in data:
        os.write(writing, chunk)
        assert drain.read()
    os.close(writing)
    assert not drain.read()
    assert not drain.open
    return (tmp_path / "console.log").read_bytes(), drain


def test_a_stream_at_its_cap_is_whole(tmp_path: Path) -> None:
    kept, drain = drained(tmp_path, [b"12345", b"67890"], 10)
    assert (kept, drain.truncated, drain.received_bytes) == (b"1234567890", False, 10)


def test_a_stream_beyond_its_cap_is_marked_and_still_drained(tmp_path: Path) -> None:
    kept, drain = drained(tmp_path, [b"12345", b"67890", b"more", b"and more"], 7)
    assert kept == b"1234567\n[agentplane: truncated, the rest was discarded]\n"
    assert (drain.truncated, drain.received_bytes) == (True, 22)


def test_a_disk_that_is_full_is_remembered(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    drain = FileDrain("result", reading, str(tmp_path / "result.tar"), 100)
    os.close(drain.file)
    drain.file = os.open("/dev/full", os.O_WRONLY)
    drain.take(b"x")
    assert drain.failure == "No space left on device"
    os.close(writing)
    drain.close()


def test_last_words_prefer_a_panic_and_are_one_safe_line() -> None:
    assert (
        last_words(b"a\n[1.0] Kernel panic - not syncing: x\n---[ end ]---\n") == "[1.0] Kernel panic - not syncing: x"
    )
    assert last_words(b"first\n\x1b[31mred\xff\n\n") == "[31mred\ufffd"
    assert last_words(b"") == ""


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first = try_lock(str(tmp_path / "lock"))
    assert first is not None
    assert try_lock(str(tmp_path / "lock")) is None
    os.close(first)
    second = try_lock(str(tmp_path / "lock"))
    assert second is not None
    os.close(second)


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_json(str(tmp_path), "a.json", {"b": 1})
    write_json(str(tmp_path), "a.json", {"b": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_process_is_known_by_when_it_started() -> None:
    assert start_ticks(os.getpid()) > 0
    assert start_ticks(2**22 + 1) == 0


V1 = """\
33 32 0:29 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 32 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 32 0:31 /docker/abc /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
36 32 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
OWN_V1 = "8:pids:/docker/abc/inner\n4:memory:/mine\n1:cpu,cpuacct:/\n0::/\n"


def test_own_groups_are_found_in_version_1() -> None:
    bases = cgroups._bases(V1, OWN_V1)
    assert bases["memory"] == "/sys/fs/cgroup/memory/mine"
    assert bases["cpu"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert bases["pids"] == "/sys/fs/cgroup/pids/inner"


def test_own_group_is_found_in_version_2() -> None:
    mounts = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    assert cgroups._bases(mounts, "0::/agentplane.slice/run.scope\n") == {
        "": "/sys/fs/cgroup/agentplane.slice/run.scope"
    }


def test_version_2_limits_are_written_below_the_own_group(tmp_path: Path) -> None:
    (tmp_path / "cgroup.subtree_control").touch()
    group = cgroups._create_v2(str(tmp_path), "run-1-1", 1 << 20, 150, 64)
    # A plain directory has none of the kernel's files, so nothing is enforced, and that is what is said.
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
    assert group.enforced == ()
    for name in ("memory.max", "memory.swap.max", "cpu.max", "pids.max"):
        assert not (tmp_path / "agentplane-run-1-1" / name).exists()


def test_no_group_is_told_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_read", lambda _: "")
    assert cgroups.create("x", 1, 1, 1) == cgroups.NO_GROUP
