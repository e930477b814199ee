"""Writes what a guest handed out into a directory of the host: through descriptors only, never over anything.

The archive is judged whole first (`agentplane.guests.tarball`); nothing is written of one that is refused.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from agentplane.errors import Broken, Refused
from agentplane.guests.tarball import Entry, TarLimits, scan
from agentplane.runners.foreign import open_foreign
from agentplane.runs.model import ArtifactFact

_CHUNK_BYTES: Final = 1 << 20
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def extract(
    archive: Path, target: Path, limits: TarLimits, reserved: frozenset[str] = frozenset()
) -> tuple[ArtifactFact, ...]:
    """Write the archive's files below `target`, an existing directory; returns them sorted by path.

    `reserved`: top-level names that are the executor's own. Directories get 0755, files 0644, both the caller's.

    Raises:
        Refused: code `artifacts.tar`, `artifacts.reserved`, or `artifacts.in-the-way` (a name is taken in `target`).
        Broken: code `artifacts.write`, the host's disk does not take them.
    """
    with _opened_archive(archive) as source:
        entries = scan(source, limits)
        _check_reserved(entries, reserved)
        root = os.open(target, _DIRECTORY)
        try:
            return tuple(sorted(_written(source, root, entries), key=lambda fact: fact.path))
        except FileExistsError as exc:
            raise Refused(
                f"an artifact's name is taken: {exc}", code="artifacts.in-the-way", where=str(target)
            ) from exc
        except OSError as exc:
            raise Broken(f"the artifacts cannot be written: {exc}", code="artifacts.write", where=str(target)) from exc
        finally:
            os.close(root)


def _opened_archive(archive: Path) -> BinaryIO:
    try:
        return os.fdopen(open_foreign(archive), "rb")
    except OSError as exc:
        raise Refused(f"there is no archive to read: {exc.strerror}", code="artifacts.tar", where=str(archive)) from exc


def _check_reserved(entries: tuple[Entry, ...], reserved: frozenset[str]) -> None:
    for entry in entries:
        if entry.path.split("/", 1)[0] in reserved:
            raise Refused(
                f"the guest handed out {entry.path!r}, a name that is the executor's own",
                code="artifacts.reserved",
                hint="name the workload's artifact otherwise",
            )


def _written(source: BinaryIO, root: int, entries: tuple[Entry, ...]) -> Iterator[ArtifactFact]:
    for entry in entries:
        if entry.directory:
            with _opened_directory(root, entry.path):
                continue
        parent, _, name = entry.path.rpartition("/")
        with _opened_directory(root, parent) as directory:
            digest = _write(source, entry, directory, name)
        yield ArtifactFact(path=entry.path, sha256=digest, size_bytes=entry.size_bytes)


@contextmanager
def _opened_directory(root: int, path: str) -> Iterator[int]:
    """The directory below `root`, made where it is missing, following no link on the way."""
    held = os.dup(root)
    try:
        for segment in path.split("/") if path else ():
            with suppress(FileExistsError):  # a link or a file in its place fails at the next line
                os.mkdir(segment, 0o755, dir_fd=held)
            deeper = os.open(segment, _DIRECTORY, dir_fd=held)
            os.close(held)
            held = deeper
        yield held
    finally:
        os.close(held)


def _write(source: BinaryIO, entry: Entry, directory: int, name: str) -> str:
    digest = hashlib.sha256()
    source.seek(entry.offset)
    left = entry.size_bytes
    with open(os.open(name, _NEW_FILE, 0o644, dir_fd=directory), "wb") as target:  # noqa: PTH123 - by descriptor
        while left:
            chunk = source.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise Broken("the archive became shorter while it was read", code="artifacts.write")
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
    return digest.hexdigest()
