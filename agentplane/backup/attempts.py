"""The files of an executor's attempts, in one archive: what was assigned, how far it came, console, artifacts.

Not who runs a guest (`launched.json`): it belongs to the machine that it runs on, and a restored executor must not
adopt it. Where a guest had ended, its outcome is in the archive; where it had not, a restored executor finds a launch
without a supervisor, reports the attempt lost, and control decides what comes next.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from agentplane.backup.unpack import unpack_archive
from agentplane.runners.shim import contract

ARCHIVE = "attempts.tar.gz"
_SHIM = "shim"
_ALIVE = frozenset({contract.LAUNCHED, contract.LOCK})


def pack(executor: Path, archive: Path) -> int:
    """Write the archive; how many files are in it. What disappears meanwhile was not wanted any more."""
    count = 0
    # dereference: a file with two names is kept twice, since a link is nothing that we would unpack
    with tarfile.open(archive, "w:gz", compresslevel=3, dereference=True) as tar:
        for path in _files(executor):
            try:
                tar.add(path, arcname=path.relative_to(executor).as_posix(), recursive=False)
            except FileNotFoundError:
                continue
            count += 1
    return count


def unpack(archive: Path, executor: Path) -> None:
    """Put the files back. Raises Tampered (`backup.damaged`)."""
    unpack_archive(archive, executor)


def _files(executor: Path) -> Iterator[Path]:
    if (executor / "draining").is_file():
        yield executor / "draining"
    for name in ("runs", "forgotten"):
        yield from _regular(executor / name, executor)


def _regular(directory: Path, executor: Path) -> Iterator[Path]:
    inside = directory.relative_to(executor).parts
    if not directory.is_dir() or directory.is_symlink() or inside[-1].startswith("."):
        return  # with a dot: an attempt that is not yet whole
    yield directory
    supervised = inside[4:5] == (_SHIM,)  # runs/<tenant>/<run>/<epoch>/shim
    # the outcome is written last: where we have it, what we read after it is complete
    for path in sorted(directory.iterdir(), key=lambda each: (each.name != contract.OUTCOME, each.name)):
        if path.is_symlink() or (supervised and path.name in _ALIVE):
            continue
        if path.is_dir():
            yield from _regular(path, executor)
        elif path.is_file():
            yield path
