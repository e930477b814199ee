"""Sealed files from afar to a directory: each whole or not at all, and only if it is what the seal says. Resumable.

What has come of a file lies beside it as `.<name>.<digest>.partial`; a later call goes on from there.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

from agentplane.durable import fsync_directory
from agentplane.errors import Conflict, Refused, Tampered
from agentplane.runs.model import ArtifactFact

_CHUNK_BYTES: Final = 1 << 20
_DIGEST_CHARS: Final = 16

Chunks = Callable[[str, int, int], AsyncIterator[bytes]]  # of a path, from an offset up to a size


def check_total(files: Sequence[ArtifactFact], max_bytes: int) -> int:
    """The size of all files. Raises Refused: code `artifacts.too-large`."""
    total = sum(fact.size_bytes for fact in files)
    if total > max_bytes:
        raise Refused(
            f"{len(files)} files of {total} bytes, more than {max_bytes}",
            code="artifacts.too-large",
            hint="name single files, or raise --max-mib",
        )
    return total


async def fetch_file(fact: ArtifactFact, target: Path, chunks: Chunks) -> bool:
    """Have a sealed file at `target`; False when it was there already.

    Raises:
        Conflict: `artifacts.exists`: something else is at that place.
        Tampered: `artifacts.differs`: what came is not what was sealed; nothing of it is kept.
        Refused: `artifacts.unwritable`; and what `chunks` raises, after which a later call goes on.
    """
    try:
        if _is_there(fact, target):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name[:200]}.{fact.sha256[:_DIGEST_CHARS]}.partial")
        await _complete(fact, partial, chunks)
        partial.rename(target)
        fsync_directory(target.parent)
    except OSError as exc:
        raise Refused(f"cannot be written: {exc.strerror}", code="artifacts.unwritable", where=str(target)) from exc
    return True


def place(directory: Path, fact: ArtifactFact) -> Path:
    """Where a sealed file goes. Raises Tampered: code `artifacts.path`, its path leads out of the directory."""
    target = directory / fact.path
    inside = Path(os.path.normpath(target)) == target and directory in target.parents
    if not inside or not target.resolve().is_relative_to(directory.resolve()):
        raise Tampered(f"the path {fact.path[:200]!r} leads out of the directory", code="artifacts.path")
    return target


async def _complete(fact: ArtifactFact, partial: Path, chunks: Chunks) -> None:
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        digest, size = hashlib.sha256(), 0
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        async for chunk in chunks(fact.path, size, fact.size_bytes):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    _check(fact, partial, size, digest.hexdigest())


def _check(fact: ArtifactFact, partial: Path, size: int, digest: str) -> None:
    if (size, digest) == (fact.size_bytes, fact.sha256):
        return
    partial.unlink()
    raise Tampered(
        f"{size} bytes with sha256 {digest} came, sealed were {fact.size_bytes} with {fact.sha256}",
        code="artifacts.differs",
        where=fact.path,
        hint="the file was changed on the executor's host after the run, or on its way",
    )


def _is_there(fact: ArtifactFact, target: Path) -> bool:
    if not os.path.lexists(target):
        return False
    if target.is_file() and not target.is_symlink():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == fact.sha256:
                return True
    hint = "name another directory with --to"
    raise Conflict("there is another file here already", code="artifacts.exists", where=str(target), hint=hint)
