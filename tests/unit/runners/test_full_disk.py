"""A guest whose files come while its host's disk is full: a real small one, and a shell script in the place of QEMU."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from agentplane.errors import Transient
from agentplane.guests.tarball import TarLimits
from agentplane.runners.launch import order_end
from agentplane.runners.shim.contract import ORDERS, RESULT, Ended
from agentplane.runs.states import Outcome
from services.executor.collecting import collect
from tests.smalldisk import SmallDisk, small_disk
from tests.unit.runners.test_watch import BOOT, watching

KIB = 1 << 10
CAP = {
    "channels": [
        {"name": "console", "fds": [1, 2], "pipe": True, "cap_bytes": KIB},
        {"name": "events", "fds": [3], "pipe": True, "cap_bytes": KIB},
        {"name": "result", "fds": [4], "pipe": True, "cap_bytes": 1 << 20},
    ]
}
EXITED, FINISHED = """echo '{"event":"exited","code":0}' >&3;""", """echo '{"event":"finished"}' >&3;"""
LETTERS = "head -c {} /dev/zero | tr '\\0' x >&4;"
# More than a pipe holds, so the program waits as well; and less, so it has long gone.
SIZES = pytest.mark.parametrize("size", [300 * KIB, 10 * KIB])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "small", 1) as disk:
        yield disk


class Played:
    """A watch in a thread of its own, over a disk that is full from its first byte on."""

    def __init__(self, disk: SmallDisk, size: int, **changes: Any) -> None:
        script = BOOT + EXITED + LETTERS.format(size) + FINISHED
        self.watch, self.told = watching(disk.path, script, **{**CAP, "room_timeout_s": 60.0, **changes})
        disk.fill()
        self.over: Future[Ended] = Future()
        threading.Thread(target=lambda: self.over.set_result(self.watch.run()), daemon=True).start()

    def until_it_has_waited(self, seconds: float = 0.0) -> None:
        """Poll: a full disk announces nothing, neither does who waits for it."""
        pause = threading.Event()
        for _ in range(6000):
            if self.watch.room.since is not None and self.watch.room.waited_s(time.monotonic()) >= seconds:
                return
            pause.wait(0.01)
        raise AssertionError("it does not wait for room")


@SIZES
def test_what_comes_while_the_disk_is_full_is_kept_when_there_is_room(disk: SmallDisk, size: int) -> None:
    played = Played(disk, size)
    played.until_it_has_waited()
    disk.free()
    ended = played.over.result(60)
    assert (ended["outcome"], ended["exit_code"], ended["result_complete"]) == (Outcome.EXITED, 0, True)
    assert "for room on the host's disk" in ended["message"]
    assert (disk.path / RESULT).read_bytes() == b"x" * size


@SIZES
def test_a_disk_that_stays_full_is_the_hosts_failure_and_nothing_is_taken_for_whole(disk: SmallDisk, size: int) -> None:
    ended = Played(disk, size, room_timeout_s=0.01).over.result(60)
    assert (ended["outcome"], ended["exit_code"], ended["result_complete"]) == (Outcome.HOST_FAILED, -1, False)
    assert ended["message"].startswith("disk-full: the artifacts could not be kept: No space left on device")


def test_collecting_is_not_over_while_there_is_no_room(disk: SmallDisk) -> None:
    played = Played(disk, 300 * KIB, collect_timeout_s=1.0)
    played.until_it_has_waited(2.0)
    disk.free()
    assert played.over.result(60)["outcome"] == Outcome.EXITED


@SIZES
def test_who_waits_for_room_hears_of_its_cancellation(disk: SmallDisk, size: int) -> None:
    played = Played(disk, size)
    played.until_it_has_waited()
    os.write(played.told, signal.SIGTERM.to_bytes(1))
    ended = played.over.result(60)
    assert (ended["outcome"], ended["result_complete"]) == (Outcome.CANCELLED, False)


def test_an_archive_is_unpacked_again_when_there_is_room(disk: SmallDisk, tmp_path: Path) -> None:
    launch = tmp_path / "launch"
    (launch / "files").mkdir(parents=True)
    (launch / "files" / "report.txt").write_bytes(b"r" * 200 * KIB)
    subprocess.run(["tar", "-C", launch / "files", "-cf", launch / RESULT, "."], check=True)
    files = disk.path / "artifacts"
    files.mkdir()
    disk.fill()
    with pytest.raises(Transient) as full:
        collect(launch, files, files / "out", TarLimits())
    assert full.value.code == "state-dir.full"
    disk.free()
    facts = collect(launch, files, files / "out", TarLimits())
    assert [(fact.path, fact.size_bytes) for fact in facts] == [("report.txt", 200 * KIB)]


def test_an_order_to_end_is_given_though_its_reason_finds_no_room(disk: SmallDisk) -> None:
    disk.fill()
    assert order_end(disk.path, "asked") is False  # by a signal, then
    os.mkfifo(disk.path / ORDERS)
    reading = os.open(disk.path / ORDERS, os.O_RDONLY | os.O_NONBLOCK)
    assert order_end(disk.path, "asked") is True
    assert os.read(reading, 1)
    os.close(reading)
