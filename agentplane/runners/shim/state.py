"""Small files that are there whole or not at all, and who a process is. Standard library only."""

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from time import gmtime, strftime, time
from typing import Final

from agentplane.durable import fsync_directory

FILE_MODE: Final = 0o660  # less the umask: only a guest unit opens files to its group, which is its executor's
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_RESERVE: Final = ".reserve"
_RESERVE_BYTES: Final = 16 << 10


def write_json(directory: str, name: str, value: Mapping[str, object]) -> None:
    """Write a file by rename, with data and directory on disk when it returns."""
    temporary = os.path.join(directory, f".{name}.tmp")
    with contextlib.suppress(FileNotFoundError):  # of a writer that was killed, and maybe another user's
        os.unlink(temporary)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        os.write(fd, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, os.path.join(directory, name))
    fsync_directory(directory)


def reserve(directory: str) -> None:
    """Set some blocks aside, so that the last word can be written when the disk is full; see `release`."""
    fd = os.open(os.path.join(directory, _RESERVE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.write(fd, bytes(_RESERVE_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)


def release(directory: str) -> None:
    """Give back what `reserve` set aside."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(directory, _RESERVE))


def try_lock(path: str) -> int | None:
    """The descriptor of an exclusive flock, or None where another holds it. It lasts until the descriptor closes."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def start_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot (proc(5), field 22 of stat); 0 if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0


def boot_id() -> str:
    """Which boot of this host it is. A unit that sees nothing of /proc but processes is told by systemd (`%b`)."""
    try:
        with open(_BOOT_ID, encoding="ascii") as source:
            return source.read().strip()
    except FileNotFoundError:
        digits = os.environ["AGENTPLANE_BOOT_ID"]
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def utc_now() -> str:
    """The wall clock as RFC 3339, for people; durations are measured by the monotonic clock."""
    now = time()
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(now)) + f".{int(now % 1 * 1_000_000):06d}Z"
