"""An executor's journal on disk: a directory of segments, one canonical envelope per line, fsynced before it counts.

A record is written in one piece and is durable when `issue` returns; only then may it be sent. What a crash can leave
is a torn last line, which is cut off and reported at the next opening: it was never sent. Anything else that does not
verify is Tampered, never repaired. Opening verifies the last segment only, so it takes the same time for a long
journal; `read` verifies what it reads.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from agentplane.canonical import digest_bytes
from agentplane.durable import fsync_directory
from agentplane.errors import AgentplaneError, NotFound, Refused, Tampered
from agentplane.evidence.dsse import MAX_ENVELOPE_BYTES, open_envelope
from agentplane.evidence.journal import Head, advance, check_link, executor_journal, next_link
from agentplane.evidence.keys import Signer, TrustedKeys
from agentplane.evidence.record import About, Record, issue, open_record
from agentplane.evidence.segments import (
    SegmentWriter,
    first_index,
    first_line,
    io_failure,
    last_line,
    lines,
    lock,
    segment_path,
    segments,
)
from agentplane.evidence.statement import V0_1
from agentplane.ids import Digest
from agentplane.runs.model import ArtifactFact

SEGMENT_RECORDS: Final = 1000


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be signed into the journal."""

    artifact: dict[str, Any]
    about: About
    run_previous: str | None  # digest of the statement before it in the run
    files: Sequence[ArtifactFact] = ()
    version: str = V0_1


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """What opening had to cut off."""

    path: str
    kept_index: int  # last whole record
    removed_bytes: int


class JournalFile:
    """The one writer of an executor's journal. Not for several threads at once; calls block on the disk."""

    def __init__(self, directory: Path, signer: Signer, trusted: TrustedKeys, executor: str) -> None:
        """Open or create the journal.

        Raises:
            Conflict: code `evidence.journal.locked`: another process writes it.
            Tampered: the codes of `open_record`, and `evidence.chain`.
            Broken: code `evidence.journal.io`.
        """
        self._directory = directory
        self._signer = signer
        self._trusted = trusted
        self._head = executor_journal(executor)
        self.repair: Repair | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = lock(directory / "lock")
        except OSError as exc:
            raise io_failure(directory, exc) from exc
        try:
            self._writer = self._recover()
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def head(self) -> Head:
        """Where the journal ends."""
        return self._head

    @property
    def first_index(self) -> int:
        """The oldest record that is still here; 1 for an empty journal."""
        return first_index(segments(self._directory)[0])

    def issue(self, claim: Claim) -> Record:
        """Sign a claim as the next record and make it durable.

        Raises:
            Refused: the claim cannot be signed; codes of `record.issue`.
            Transient: code `evidence.journal.full`: nothing was written.
            Broken: code `evidence.journal.io`: closed, or the journal has to be opened again.
        """
        record = issue(
            claim.artifact,
            about=claim.about,
            link=next_link(self._head, run_previous=claim.run_previous),
            signer=self._signer,
            files=claim.files,
            version=claim.version,
        )
        self._roll()
        self._writer.append(record.envelope + b"\n")
        self._head = advance(self._head, record.digest)
        return record

    def read(self, start: int = 1) -> Iterator[Record]:
        """Records from index `start` on, each verified, in order; of those before it only what the first links to.

        Raises:
            NotFound: code `evidence.journal.forgotten`: `start` lies in a segment that was forgotten.
            Tampered: the codes of `open_record`, and `evidence.chain`.
        """
        paths, last = segments(self._directory), self._head.index
        if start > last:
            return
        if start < first_index(paths[0]):
            raise NotFound(f"record {start} was committed and forgotten", code="evidence.journal.forgotten")
        holding = max(number for number, path in enumerate(paths) if first_index(path) <= start)
        passed = start - first_index(paths[holding])
        head = None if passed else self._head_before(paths, holding)
        for path in paths[holding:]:
            found = lines(path.read_bytes())
            if head is None:
                head, found = self._head_after(path, found[:passed], start - 1), found[passed:]
            for line in found:
                record = self._follow(head, line, path)
                head = advance(head, record.digest)
                yield record
        if head is None or head.index < last:
            raise Tampered(f"record {last} is missing", code="evidence.chain", where=str(paths[-1]))

    def attempt(self, tenant: str, run: str, epoch: int, *, start: int = 1) -> tuple[Record, ...]:
        """The records of one run attempt, for an executor that was restarted in the middle of it.

        `start`: an index from which on to look, for example the head when the attempt began.
        """
        wanted = (tenant, run, epoch)
        refs = ((record.statement.predicate.run, record) for record in self.read(max(start, self.first_index)))
        return tuple(record for ref, record in refs if (ref.tenant, ref.name, ref.epoch) == wanted)

    def forget(self, committed_index: int) -> int:
        """Remove whole segments up to a record that the control plane has committed; answer how many."""
        # The segment before the last stays: it ends with the record that the last one continues.
        candidates = pairwise(segments(self._directory)[:-1])
        old = [path for path, after in candidates if first_index(after) - 1 <= committed_index]
        for path in old:
            path.unlink()
        fsync_directory(self._directory)
        return len(old)

    def close(self) -> None:
        """Let go of the files; everything issued is already durable."""
        self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _recover(self) -> SegmentWriter:
        paths = segments(self._directory)
        if not paths:
            return SegmentWriter(segment_path(self._directory, 1))
        self._head = self._head_before(paths, len(paths) - 1)
        try:
            data = paths[-1].read_bytes()
            kept = self._verify_tail(paths[-1], data)
            writer = SegmentWriter(paths[-1])
            if kept < len(data):
                writer.truncate(kept)
                self.repair = Repair(path=str(paths[-1]), kept_index=self._head.index, removed_bytes=len(data) - kept)
        except OSError as exc:
            raise io_failure(paths[-1], exc) from exc
        return writer

    def _verify_tail(self, path: Path, data: bytes) -> int:
        # Answers how many bytes are whole records. Only bytes at the very end that are no complete envelope are torn;
        # a complete envelope that does not verify, or a hole with envelopes after it, was not made by a crash.
        position = 0
        while position < len(data):
            end = data.find(b"\n", position)
            if end < 0 or not (_is_envelope(data[position:end]) or _has_envelope(data[end + 1 :])):
                return position
            self._head = advance(self._head, self._follow(self._head, data[position:end], path).digest)
            position = end + 1
        return position

    def _head_before(self, paths: Sequence[Path], number: int) -> Head:
        """Where the journal stood before a segment: said by the segment before it, or by its own first record."""
        first = first_index(paths[number])
        if first == 1:
            return Head(journal=self._head.journal)
        if number == 0:
            # What was before is forgotten: it is committed, and the first record's signed link names it.
            own = open_record(first_line(paths[0], MAX_ENVELOPE_BYTES), self._trusted)
            return self._head_at(paths[0], first - 1, own.statement.predicate.chain.previous)
        record = open_record(last_line(paths[number - 1], MAX_ENVELOPE_BYTES), self._trusted)
        if record.statement.predicate.chain.index != first - 1:
            raise Tampered(f"record {first - 1} is missing", code="evidence.chain", where=str(paths[number - 1]))
        return self._head_at(paths[number - 1], first - 1, record.digest)

    def _head_after(self, path: Path, passed: Sequence[bytes], index: int) -> Head:
        """Where the journal stood after the first records of a segment, `index` the last of them."""
        if first_index(path) + len(passed) != index + 1:
            raise Tampered(f"record {index} is missing", code="evidence.chain", where=str(path))
        return self._head_at(path, index, digest_bytes(passed[-1]))

    def _head_at(self, path: Path, index: int, digest: str | None) -> Head:
        if digest is None:
            raise Tampered(f"record {index + 1} says that it is the first", code="evidence.chain", where=str(path))
        return Head(journal=self._head.journal, index=index, digest=Digest(digest))

    def _follow(self, head: Head, line: bytes, path: Path) -> Record:
        try:
            record = open_record(line, self._trusted)
            check_link(head, record.statement.predicate.chain)
        except AgentplaneError as exc:
            raise Tampered(
                f"record {head.index + 1} does not verify: {exc.message}",
                code=exc.code if isinstance(exc, Tampered) else "evidence.chain",
                where=str(path),
                hint="keep the file as it is: it was changed after it was written",
            ) from exc
        return record

    def _roll(self) -> None:
        if self._head.index - self._writer.first_index + 1 >= SEGMENT_RECORDS:
            following = SegmentWriter(segment_path(self._directory, self._head.index + 1))
            self._writer.close()
            self._writer = following


def _is_envelope(line: bytes) -> bool:
    try:
        open_envelope(line)
    except Refused:
        return False
    return True


def _has_envelope(data: bytes) -> bool:
    return any(_is_envelope(line) for line in lines(data))
