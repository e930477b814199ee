"""Drains the program's streams: every byte is taken, so that nothing blocks, and only so many are kept."""

import contextlib
import errno
import json
import os
from collections.abc import Callable
from typing import Final

from agentplane.runners.shim.state import FILE_MODE

READ_BYTES: Final = 1 << 16
MAX_LINE_BYTES: Final = 16 << 10
_TAIL_BYTES: Final = 16 << 10
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MARK: Final = b"\n[agentplane: truncated, the rest was discarded]\n"


class Drain:
    """One stream: read without blocking, counted, handed on. Subclasses say what becomes of the bytes."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.received_bytes = 0
        self.truncated = False
        self.open = True

    def read(self) -> bool:
        """Take what is there; True when there was something."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self.received_bytes += len(data)
        self.take(data)
        return True

    def take(self, data: bytes) -> None:
        """What becomes of bytes as they come."""
        raise NotImplementedError

    def close(self) -> None:
        """No more comes; idempotent."""
        if self.open:
            self.open = False
            os.close(self.fd)


class FileDrain(Drain):
    """A stream that ends up in a file, up to a cap; then a marker, and the rest is discarded.

    `patient`: what a full disk does not take is neither lost nor read on; see `shim.room`.
    """

    def __init__(
        self, name: str, fd: int, path: str, cap_bytes: int, *, mark: bytes = _MARK, patient: bool = False
    ) -> None:
        super().__init__(name, fd)
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        self.tail = b""
        self.failure: str | None = None
        self.full = False  # the failure is that of a full disk
        self._left = cap_bytes
        self._mark = mark
        self._patient = patient
        self._unwritten = b""

    @property
    def waiting(self) -> bool:
        """Whether there are bytes that the disk has no room for."""
        return bool(self._unwritten)

    def read(self) -> bool:
        """As of any drain, but for one that waits: its program waits, too."""
        return not self.waiting and super().read()

    def take(self, data: bytes) -> None:
        """Keep what fits; a disk that takes no more is remembered in `failure`."""
        self.tail = (self.tail + data)[-_TAIL_BYTES:]
        if self.truncated:
            return
        kept, self._left = data[: self._left], self._left - len(data)
        self.truncated = self._left < 0
        self._unwritten = kept + self._mark if self.truncated else kept
        self.write()

    def write(self) -> None:
        """Write what is not written yet."""
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self.file, self._unwritten) :]
        except OSError as exc:
            self.full = exc.errno in _FULL
            if not (self.full and self._patient):
                self.fail(exc)

    def fail(self, error: OSError) -> None:
        """What was not written is lost, and all that comes."""
        self.truncated, self.failure, self._unwritten = True, error.strerror, b""

    def sync(self) -> None:
        """Everything kept is on disk, or `failure` says why not: some find out only now that they are full."""
        try:
            os.fsync(self.file)
        except OSError as exc:
            self.full = exc.errno in _FULL
            self.fail(exc)


class LineDrain(Drain):
    """A stream of JSON lines, each handed to `on_line`; what is too long or not JSON is dropped and noted."""

    def __init__(self, name: str, fd: int, on_line: Callable[[dict[str, object]], None]) -> None:
        super().__init__(name, fd)
        self._on_line = on_line
        self._buffer = b""

    def take(self, data: bytes) -> None:
        """Hand on whole lines."""
        *lines, rest = (self._buffer + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(rest) > MAX_LINE_BYTES:
            self.truncated = True
            rest = b"\0"  # no JSON starts so: whatever follows on this line is dropped with it
        self._buffer = rest

    def _line(self, line: bytes) -> None:
        value = None
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line)
        if isinstance(value, dict) and len(line) <= MAX_LINE_BYTES:
            self._on_line(value)
        else:
            self.truncated = True

    def send(self, line: bytes) -> None:
        """Answer on the same stream; a peer that does not listen is no concern."""
        if self.open:
            with contextlib.suppress(OSError):
                os.write(self.fd, line)


def last_words(tail: bytes) -> str:
    """The most telling line of a log's tail: a kernel panic if there is one, else the last line; one safe line."""
    lines = [line.strip() for line in tail.decode("utf-8", "replace").splitlines() if line.strip()]
    panics = [line for line in lines if "Kernel panic" in line or "agentplane-init:" in line]
    chosen = (panics or lines or [""])[-1]
    return "".join(char for char in chosen if char.isprintable())[:240]
