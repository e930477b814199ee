"""Segments of a journal on disk: named by their first index, appended to in one piece or not at all.

Knows files and bytes, nothing of what a record says; `journal_file` gives the bytes their meaning.
"""

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

from agentplane.durable import fsync_directory
from agentplane.errors import Broken, Conflict, Transient

SUFFIX: Final = ".jsonl"
_MODE: Final = 0o600


class SegmentWriter:
    """The open end of a journal."""

    def __init__(self, path: Path) -> None:
        """Open or create a segment durably. Raises Transient, code `evidence.journal.full`."""
        self.path = path
        self.first_index = first_index(path)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            fsync_directory(path.parent)
        except OSError as exc:
            raise _full(path, exc) from exc
        self._usable = True

    def append(self, line: bytes) -> None:
        """Write a line and make it durable, or leave the file as it was.

        Raises:
            Transient: code `evidence.journal.full`: nothing was written.
            Broken: code `evidence.journal.io`: it could not even be taken back; only opening again can tell.
        """
        if not self._usable:
            raise Broken("the journal was closed, or its disk failed", code="evidence.journal.io", where=str(self.path))
        size = os.fstat(self._descriptor).st_size
        try:
            _write_whole(self._descriptor, line)
            os.fdatasync(self._descriptor)
        except OSError as exc:
            self._take_back(size)
            raise _full(self.path, exc) from exc

    def truncate(self, size: int) -> None:
        """Cut the segment, durably. Raises OSError."""
        os.ftruncate(self._descriptor, size)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._usable = False

    def _take_back(self, size: int) -> None:
        try:
            self.truncate(size)
        except OSError as exc:
            # Nobody knows any more what is on the disk.
            self._usable = False
            raise io_failure(self.path, exc) from exc


def segment_path(directory: Path, first: int) -> Path:
    """The segment whose first record is `first`."""
    return directory / f"{first:010d}{SUFFIX}"


def first_index(path: Path) -> int:
    """The index of a segment's first record."""
    return int(path.stem)


def segments(directory: Path) -> list[Path]:
    """All segments, oldest first."""
    return sorted(path for path in directory.glob("*" + SUFFIX) if path.stem.isdigit())


def lines(data: bytes) -> list[bytes]:
    """The lines of a segment; what follows the last newline is a line too. Splits at newline only."""
    parts = data.split(b"\n")
    return parts[:-1] if parts[-1] == b"" else parts


def first_line(path: Path, max_bytes: int) -> bytes:
    """The first line of a file, empty for an empty file."""
    with path.open("rb") as file:
        return file.readline(max_bytes + 2).rstrip(b"\n")


def last_line(path: Path, max_bytes: int) -> bytes:
    """The last line of a file, empty for an empty file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - max_bytes - 2))
        found = lines(file.read())
    return found[-1] if found else b""


def lock(path: Path) -> int:
    """Take a journal's lock file for this process; answer the descriptor that holds it.

    Raises:
        Conflict: code `evidence.journal.locked`.
        OSError: it cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise Conflict(
            "another process writes this journal",
            code="evidence.journal.locked",
            where=str(path.parent),
            hint="one executor daemon per state directory; stop the other one",
        ) from exc
    return descriptor


def io_failure(path: Path, exc: OSError) -> Broken:
    """The disk did what no retry will mend."""
    return Broken(f"the journal's disk failed: {exc.strerror}", code="evidence.journal.io", where=str(path))


def _write_whole(descriptor: int, data: bytes) -> None:
    # A short write means that the disk has become full in the middle of the record.
    if os.write(descriptor, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full(path: Path, exc: OSError) -> Transient:
    return Transient(
        f"cannot be written: {exc.strerror}",
        code="evidence.journal.full",
        where=str(path),
        hint="free some space; nothing was written and nothing is lost",
        delay_s=5.0,
    )
