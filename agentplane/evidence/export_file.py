"""Exports on disk: read one as it is, or write one whole. A shell around `export`; decides nothing.

Reading follows no link and trusts no size. Writing happens beside the target and appears there by one rename.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.durable import fsync_directory
from agentplane.errors import Conflict, NotFound, Refused, Tampered
from agentplane.evidence.export import (
    ARTIFACTS,
    BUNDLE,
    EVIDENCE,
    EXECUTOR_KEYS,
    KEYS,
    MANIFEST,
    MARKED,
    PINS,
    Export,
    FileDigest,
    document_files,
    evidence_bytes,
    key_files,
    manifest_bytes,
    summarise,
)
from agentplane.evidence.key_history import open_history
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import Record
from agentplane.evidence.seal import SEAL_KIND, read_seal
from agentplane.runs.model import ArtifactFact
from agentplane.runs.pinned import Pinned, pinned_bytes

MAX_SMALL_BYTES: Final = 512 * 2**20  # of a file that is held in memory
MAX_FILES: Final = 100_000
_CHUNK: Final = 2**20

OpenFile = Callable[[str], IO[bytes]]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was about, as the log has it. No record holds it whole; every record is bound to it by a digest."""

    bundle: dict[str, Any]  # the document
    pinned: Pinned | None = None  # None: the run was refused
    executor_keys: bytes | None = None  # control's signed key history; None: nobody gave one
    marked: tuple[Record, ...] = ()  # kept and not believed, as that history says


def read_export(directory: Path) -> Export:
    """Read a directory that claims to be an export.

    Raises:
        NotFound: code `evidence.export.missing`.
        Refused: code `evidence.export.unreadable`: no directory, not readable, or beyond all bounds.
    """
    if not os.path.exists(directory):  # noqa: PTH110 - unlike Path.exists it does not raise for a long name
        hint = "a run is exported first: agentplane evidence export RUN --to DIR"
        raise NotFound("no such directory", code="evidence.export.missing", where=str(directory), hint=hint)
    strange: list[str] = []
    paths = sorted(_walk(directory, "", strange))
    if len(paths) > MAX_FILES:
        raise _unreadable(directory, f"more than {MAX_FILES} files")
    small: dict[str, bytes] = {}
    files: dict[str, FileDigest] = {}
    for path in paths:
        held = not path.startswith(ARTIFACTS)
        files[path], content = _read(directory, path, held=held)
        if held:
            small[path] = content
    return Export(
        evidence=small.get(EVIDENCE),
        bundle=small.get(BUNDLE),
        pins=small.get(PINS),
        manifest=small.get(MANIFEST),
        executor_keys=small.get(EXECUTOR_KEYS),
        marked=small.get(MARKED),
        keys={path: data for path, data in small.items() if path.startswith(KEYS)},
        files=files,
        strange=tuple(strange),
    )


def write_export(
    directory: Path,
    records: Sequence[Record],
    subject: Subject,
    trusted: TrustedKeys,
    open_file: OpenFile,
) -> int:
    """Write an attempt's export; `open_file` opens a guest's file by its path. Answers how many files there are.

    Raises:
        Conflict: code `evidence.export.exists`: there is something at that place already.
        Tampered: code `evidence.export.file`: a file is not what its seal says.
        Refused: code `evidence.export.unwritable`; and whatever `open_file` raises.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Conflict(
            "there is something here already",
            code="evidence.export.exists",
            where=str(directory),
            hint="name a new place",
        )
    work = directory.with_name(f".{directory.name}.{os.getpid()}.partial")
    try:
        work.mkdir(parents=True)
        count = _fill(work, records, subject, trusted, open_file)
        os.rename(work, directory)  # noqa: PTH104 - replaces an empty directory, which Path.rename leaves unsaid
        fsync_directory(directory.parent)
    except OSError as exc:
        raise Refused(
            f"cannot be written: {exc.strerror}", code="evidence.export.unwritable", where=str(directory)
        ) from exc
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return count


def open_within(directory: Path) -> OpenFile:
    """Open files of a local artifact directory, without following a link out of it."""

    def open_file(path: str) -> IO[bytes]:
        if not (directory / path).resolve().is_relative_to(directory.resolve()):
            raise Refused("leads out of the artifact directory", code="evidence.export.file", where=path)
        try:
            return _open_regular(directory, path)
        except OSError as exc:
            raise NotFound(f"cannot be opened: {exc.strerror}", code="evidence.export.file", where=path) from exc

    return open_file


def _fill(work: Path, records: Sequence[Record], subject: Subject, trusted: TrustedKeys, open_file: OpenFile) -> int:
    documents = document_files(records)
    signers = {record.key_id for record in records}
    contents = {
        EVIDENCE: evidence_bytes(records),
        BUNDLE: canonical_bytes(subject.bundle),
        **({PINS: pinned_bytes(subject.pinned)} if subject.pinned else {}),
        **{ARTIFACTS + name: data for name, data in documents.items()},
    }
    if subject.executor_keys is not None:
        contents[EXECUTOR_KEYS] = subject.executor_keys
        contents |= {MARKED: evidence_bytes(subject.marked)} if subject.marked else {}
        signers.add(open_history(subject.executor_keys, trusted).key_id)
    contents |= key_files(trusted.find(key_id) for key_id in signers)
    files: dict[str, FileDigest] = {}
    for path, data in contents.items():
        files[path] = _store(work, path, iter([data]))
    for fact in _sealed_files(records):
        if fact.path not in documents:
            files[ARTIFACTS + fact.path] = _copy(work, fact, open_file)
    _store(work, MANIFEST, iter([manifest_bytes(summarise(records), files)]))
    return len(files) + 1


def _sealed_files(records: Sequence[Record]) -> tuple[ArtifactFact, ...]:
    last = records[-1].statement
    return read_seal(last.predicate.artifact).files if last.kind == SEAL_KIND else ()


def _copy(work: Path, fact: ArtifactFact, open_file: OpenFile) -> FileDigest:
    with open_file(fact.path) as source:
        copied = _store(work, ARTIFACTS + fact.path, iter(lambda: source.read(_CHUNK), b""))
    if copied != FileDigest(fact.sha256, fact.size_bytes):
        raise Tampered(
            f"holds sha256 {copied.sha256}, but was sealed as {fact.sha256}",
            code="evidence.export.file",
            where=fact.path,
            hint="the file was changed on the executor's host after the run",
        )
    return copied


def _store(work: Path, path: str, chunks: Iterator[bytes]) -> FileDigest:
    target = work / path
    if not target.resolve().is_relative_to(work.resolve()):
        raise Refused("leads out of the export", code="evidence.export.file", where=path)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return FileDigest(digest.hexdigest(), size)


def _walk(directory: Path, prefix: str, strange: list[str]) -> Iterator[str]:
    try:
        entries = list(os.scandir(directory / prefix))
    except OSError as exc:
        raise _unreadable(directory, f"{prefix or '.'}: {exc.strerror}") from exc
    if not entries and prefix:
        strange.append(f"{prefix} (an empty directory)")
    for entry in entries:
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(directory, path + "/", strange)
        elif entry.is_file(follow_symlinks=False) and path.isprintable():
            yield path
        else:
            strange.append(ascii(path))


def _read(directory: Path, path: str, *, held: bool) -> tuple[FileDigest, bytes]:
    try:
        with _open_regular(directory, path) as file:
            size = os.fstat(file.fileno()).st_size
            if held and size > MAX_SMALL_BYTES:
                raise _unreadable(directory / path, f"{size} bytes, more than {MAX_SMALL_BYTES}")
            if held:
                content = file.read(MAX_SMALL_BYTES)
                return FileDigest(hashlib.sha256(content).hexdigest(), len(content)), content
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # a buffered reader is one
            return FileDigest(digest, file.tell()), b""
    except OSError as exc:
        raise _unreadable(directory / path, str(exc.strerror)) from exc


def _open_regular(directory: Path, path: str) -> IO[bytes]:
    descriptor = os.open(directory / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "not a regular file")
    return os.fdopen(descriptor, "rb")


def _unreadable(path: Path, why: str) -> Refused:
    return Refused(f"cannot be read as an export: {why}", code="evidence.export.unreadable", where=str(path))
