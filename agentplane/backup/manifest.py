"""A backup's table of contents: every file with its SHA-256, and what the log and the journal held. Last to be written.

A directory without a manifest is a backup that was cut short. Paths in it are relative and stay inside.
"""

import hashlib
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from agentplane.backup.sources import Of
from agentplane.errors import NotFound, Refused, Tampered

NAME: Final = "manifest.json"
FORMAT: Final = 2
_READABLE: Final = (1, FORMAT)  # 1 knew stacks only
_CHUNK: Final = 1 << 20


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    path: str  # relative, POSIX
    size_bytes: int
    sha256: str  # hex


class LogMark(msgspec.Struct, frozen=True, kw_only=True):
    """What the log held up to a sequence."""

    last_sequence: int
    events: int
    statements: int  # events `run.evidence`: signed statements that are committed
    digest: str  # SHA-256 over the digests of these events in order, hex


class JournalMark(msgspec.Struct, frozen=True, kw_only=True):
    """What an executor's journal held."""

    executor: str
    first_index: int  # of the oldest record that is kept; 1 when it is empty
    last_index: int  # 0: empty
    last_digest: str | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a restore needs to know before it touches anything."""

    format: int
    of: Of = "stack"
    made_at: str  # RFC 3339
    agentplane: str  # the version that made it
    postgres_major: int | None  # None: without a database
    schema_version: int
    log: LogMark | None  # when the backup began; the database copy begins with exactly this and may hold a little more
    journal: JournalMark | None  # when the backup ended: never behind the database
    with_keys: bool
    files: tuple[FileEntry, ...]


def describe(directory: Path) -> tuple[FileEntry, ...]:
    """Every file below a directory but the manifest, sorted by path."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / NAME)
    return tuple(
        FileEntry(path=path.relative_to(directory).as_posix(), size_bytes=path.stat().st_size, sha256=_sha256(path))
        for path in paths
    )


def write(directory: Path, manifest: Manifest) -> None:
    """Write the manifest; the backup is whole from here on."""
    (directory / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read(directory: Path) -> Manifest:
    """Read a manifest; looks at no other file.

    Raises:
        NotFound: `backup.missing`: no such directory.
        Refused: `backup.partial`: no manifest; `backup.format`: not one, or of a version that we cannot read.
    """
    if not directory.is_dir():
        raise NotFound("no such directory", code="backup.missing", where=str(directory))
    path = directory / NAME
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        hint = "the backup was cut short: use another one"
        raise Refused(f"has no {NAME}", code="backup.partial", where=str(directory), hint=hint) from None
    except (OSError, msgspec.MsgspecError) as exc:
        raise Refused(f"is not a manifest: {exc}", code="backup.format", where=str(path)) from exc
    if found.format not in _READABLE:
        words = f"format {found.format}; this program reads {FORMAT} and older"
        raise Refused(words, code="backup.format", where=str(path))
    return found


def check_files(directory: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        Tampered: `backup.damaged`, naming the first file that is missing, changed or not listed.
    """
    for entry in manifest.files:
        pure = PurePosixPath(entry.path)
        path = directory / pure
        if pure.is_absolute() or ".." in pure.parts or path.is_symlink():
            raise _damaged(path, "lies outside of the backup")
        if not path.is_file():
            raise _damaged(path, "is missing")
        if path.stat().st_size != entry.size_bytes:
            raise _damaged(path, f"has {path.stat().st_size} bytes instead of {entry.size_bytes}")
        if _sha256(path) != entry.sha256:
            raise _damaged(path, "is not what was backed up: its SHA-256 is another")
    known = {entry.path for entry in manifest.files}
    for path in sorted(directory.rglob("*")):
        if not path.is_dir() and path != directory / NAME and path.relative_to(directory).as_posix() not in known:
            raise _damaged(path, "is not in the manifest")


def _damaged(path: Path, message: str) -> Tampered:
    return Tampered(message, code="backup.damaged", where=str(path), hint="nothing was restored: use another backup")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
