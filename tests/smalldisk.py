"""A real file system of a few megabytes, for tests of what happens when a disk is full."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_FILLER = ".filler"
_PIECE = bytes(64 * 1024)


class SmallDisk:
    """A mounted tmpfs: a write beyond its size fails with ENOSPC, as on any disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / _FILLER

    def fill(self) -> None:
        """Take all the space that is left, to the last page."""
        with self._filler.open("ab", buffering=0) as file:
            for piece in (_PIECE, bytes(4096)):
                try:
                    while file.write(piece):
                        pass
                except OSError as exc:
                    assert exc.errno == errno.ENOSPC, exc  # noqa: PT017 - any other error is a broken test

    def free(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return shutil.disk_usage(self.path).free


@contextmanager
def small_disk(path: Path, size_mib: int) -> Iterator[SmallDisk]:
    """Mount one at `path`, which is made; skips the test where nobody may mount."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0711", "tmpfs", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"NOT tested: no file system can be mounted here ({done.stderr.strip()})")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)
        if not os.path.ismount(path):
            shutil.rmtree(path, ignore_errors=True)
