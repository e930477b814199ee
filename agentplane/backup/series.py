"""Backups in one directory, each named by its time; the oldest go when a new one is whole."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from agentplane.backup.manifest import NAME, Manifest
from agentplane.backup.sources import Source
from agentplane.backup.take import PARTIAL, take
from agentplane.errors import Broken, Conflict

_FORMAT: Final = "%Y-%m-%dT%H%M%SZ"
_NAME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}Z")
Say = Callable[[str], None]


def take_next(source: Source, directory: Path, *, keep: int, now: datetime, say: Say) -> tuple[Path, Manifest]:
    """Take the next backup of a series, then remove all but the newest `keep`.

    What a killed backup left half done goes first: only one is taken at a time.

    Raises: Conflict (`backup.busy`): another one is being taken. As `take`.
    """
    with _alone(directory):
        for left in directory.glob(f"*{PARTIAL}"):
            shutil.rmtree(left)
        target = directory / now.strftime(_FORMAT)
        made = take(source, target, with_keys=False, now=now, say=say)
        for old in whole(directory)[:-keep]:
            say(f"removes {old.name}")
            shutil.rmtree(old)
    return target, made


def whole(directory: Path) -> list[Path]:
    """The backups that are whole, oldest first. What has another name is not ours, and stays."""
    return sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name) and (path / NAME).is_file())


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise Broken(f"cannot be used: {exc.strerror}", code="backup.io", where=str(directory)) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise Conflict("another backup is being taken", code="backup.busy", where=str(directory)) from exc
    finally:
        os.close(descriptor)
