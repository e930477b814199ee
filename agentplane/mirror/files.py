"""One file of the mirror: bytes at an offset, compared with what stands there, and whole lines only.

What a killed writer left behind the kept length is either the beginning of what is to be written now, and stays, or
it is not, and is cut off. So a reader that follows the file sees each line once, whatever happened to the writer.
"""

import os
from pathlib import Path
from typing import Final

from agentplane.durable import fsync_directory

FILE_MODE: Final = 0o640
DIRECTORY_MODE: Final = 0o750
_WINDOW: Final = 64 * 1024
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Shortened(Exception):
    """A file is shorter than what was written: somebody removed or cut it."""


def put(path: Path, offset: int, data: bytes) -> None:
    """Make a file have `data` at `offset`, where its kept part ends. Not durable before `sync`.

    Raises:
        Shortened: the kept part is not there. OSError: such as a full disk; then only whole lines were added.
    """
    descriptor = _open(path, new=offset == 0)
    try:
        size = os.fstat(descriptor).st_size
        if size < offset:
            raise Shortened(str(path))
        there = os.pread(descriptor, min(len(data), size - offset), offset)
        if not data.startswith(there):
            os.ftruncate(descriptor, offset)
            there = b""
        try:
            _write(descriptor, memoryview(data)[len(there) :], offset + len(there))
        except OSError:
            _cut(descriptor, offset)  # a full disk may stay full for long: nobody is to read half a line meanwhile
            raise
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Make a file's bytes durable. Raises Shortened: it is gone. OSError."""
    descriptor = _open(path, new=False)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cut_partial_line(path: Path, kept: int) -> None:
    """Cut off a half-written last line behind the kept length. Raises Shortened, OSError."""
    descriptor = _open(path, new=False)
    try:
        if os.fstat(descriptor).st_size < kept:
            raise Shortened(str(path))
        _cut(descriptor, kept)
    finally:
        os.close(descriptor)


def finish(path: Path, length: int) -> None:
    """Cut off whatever stands behind the last line of a day that is over. Raises Shortened, OSError."""
    descriptor = _open(path, new=False)
    try:
        if os.fstat(descriptor).st_size > length:
            os.ftruncate(descriptor, length)
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = DIRECTORY_MODE) -> None:
    """Make a directory with exactly this mode, whatever the umask; one that is there keeps its owner's mode."""
    try:
        path.mkdir()
    except FileExistsError:
        return
    inherited = path.stat().st_mode & 0o2000  # an administrator's setgid directory hands its group down
    path.chmod(mode | inherited)
    fsync_directory(path.parent)


def _open(path: Path, *, new: bool) -> int:
    if not new:
        try:
            return os.open(path, _FLAGS & ~os.O_CREAT)
        except FileNotFoundError:
            raise Shortened(str(path)) from None
    try:
        return os.open(path, _FLAGS & ~os.O_CREAT)
    except FileNotFoundError:
        descriptor = os.open(path, _FLAGS | os.O_EXCL, FILE_MODE)
        os.fchmod(descriptor, FILE_MODE)
        fsync_directory(path.parent)
        return descriptor


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _cut(descriptor: int, kept: int) -> None:
    """Cut off what stands behind the last line's end, but nothing before `kept`."""
    size = end = os.fstat(descriptor).st_size
    while end > kept:
        start = max(kept, end - _WINDOW)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
