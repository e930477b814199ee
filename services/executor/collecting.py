"""What a guest handed out, from its launch directory into the artifact directory. Repeatable after a crash.

A file that has the name of an evidence document is refused with all the rest (outcome result-refused), not renamed:
renaming would change what the author finds, and hide that a guest tried to pass for evidence.
"""

import os
from pathlib import Path

from agentplane.artifacts.document import RESERVED_NAMES
from agentplane.durable import fsync_directory
from agentplane.errors import Broken
from agentplane.guests.tarball import TarLimits
from agentplane.runners.collect import extract
from agentplane.runners.shim.contract import CONSOLE, RESULT
from agentplane.runs.model import ArtifactFact
from services.executor.durable import disk_errors, remove_tree, translated
from services.executor.reporting import check_listing


def collect(launch: Path, files: Path, out_dir: Path, limits: TarLimits) -> tuple[ArtifactFact, ...]:
    """Unpack a launch's result into a new `out_dir` below `files`, durably.

    Raises:
        Refused: `artifacts.tar`, `artifacts.reserved`, `artifacts.listing`; nothing of it is kept.
        Transient: `state-dir.full`: the same call succeeds once there is space.
        Broken: `state-dir.unusable`, `artifacts.write`: the same call succeeds once the disk is repaired.
    """
    empty(files, out_dir)
    try:
        artifacts = extract(launch / RESULT, out_dir, limits, RESERVED_NAMES)
    except Broken as exc:
        # Of the executor's own disk, so the guest must not pay for it: its archive stays, and is unpacked again.
        if isinstance(exc.__cause__, OSError):
            raise translated(exc.__cause__, out_dir) from exc
        raise
    check_listing(artifacts)
    with disk_errors(out_dir):
        _sync_tree(out_dir)
    return artifacts


def empty(files: Path, out_dir: Path) -> None:
    """Make the artifact directory anew, without anything in it."""
    remove_tree(files)
    with disk_errors(out_dir):
        out_dir.mkdir(parents=True)


def keep_console(launch: Path, target: Path) -> None:
    """Put the console where it is found by name; a link, since it may be large. Never a link to something else."""
    kept = launch / CONSOLE
    with disk_errors(target):
        target.unlink(missing_ok=True)
        if kept.is_file() and not kept.is_symlink():
            target.hardlink_to(kept)


def _sync_tree(root: Path) -> None:
    for directory, _, files in os.walk(root):
        for name in files:
            descriptor = os.open(Path(directory) / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        fsync_directory(Path(directory))
