"""Files that survive a crash: written whole beside their place, fsynced, renamed, and the directory fsynced."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentplane.durable import fsync_directory
from agentplane.errors import AgentplaneError, Broken, Transient

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate errors of the file system.

    Raises:
        Transient: `state-dir.full`: nothing half-written is left; the same call succeeds once there is space.
        Broken: `state-dir.unusable`.
    """
    try:
        yield
    except OSError as exc:
        raise translated(exc, path) from exc


def translated(error: OSError, path: Path) -> AgentplaneError:
    """An error of the file system as ours."""
    if error.errno in _FULL:
        return Transient(
            "no space left for the executor's state",
            code="state-dir.full",
            where=str(path),
            delay_s=5.0,
            hint="free disk space; nothing is lost, the executor goes on by itself",
        )
    return Broken(f"cannot be used: {error.strerror}", code="state-dir.unusable", where=str(path))


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put `data` at `path`, wholly or not at all, durably. Raises as `disk_errors`."""
    beside = path.with_name(f".{path.name}.new")
    with disk_errors(path):
        try:
            _write_synced(beside, data, mode)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put each file into a directory, wholly or not at all, durably. Raises as `disk_errors`."""
    for name, data in files.items():
        path = directory / name
        with disk_errors(path):
            if path.is_file() and not path.is_symlink() and path.read_bytes() == data:
                continue
        write_file(path, data)


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_tree(path: Path) -> None:
    """Delete a directory, if there is one. Raises Broken (`state-dir.unusable`)."""
    with disk_errors(path):
        if path.exists():
            shutil.rmtree(path)
