"""An executor's journal as a backup has it: copied while its writer goes on, verified without becoming its writer."""

from pathlib import Path
from typing import Final

from agentplane.backup.manifest import JournalMark
from agentplane.errors import AgentplaneError, Tampered
from agentplane.evidence.dsse import MAX_ENVELOPE_BYTES
from agentplane.evidence.journal import Head, advance, check_link, executor_journal
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import Record, open_record
from agentplane.evidence.segments import first_index, first_line, lines, segments
from agentplane.ids import Digest
from agentplane.runs.model import RunEvidence

_ATTEMPTS: Final = 5


def copy(source: Path, target: Path) -> None:
    """Copy whole records only: what its writer writes at this moment is left to the next backup."""
    for _ in range(_ATTEMPTS):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in segments(target):
            old.unlink()
        paths = segments(source)
        try:
            for path in paths:
                data = path.read_bytes()
                (target / path.name).write_bytes(data[: data.rfind(b"\n") + 1])
        except FileNotFoundError:  # the oldest were committed and forgotten while we read
            continue
        return


class Journal:
    """A copied journal, read and verified once; keeps the digest of every record."""

    def __init__(self, directory: Path, executor: str, trusted: TrustedKeys) -> None:
        """Verify every signature and link.

        Raises:
            Tampered: `evidence.chain`, or as `open_record`, naming the file.
        """
        self.executor = executor
        self._trusted = trusted
        self._digests: dict[int, Digest] = {}
        self._head = executor_journal(executor)
        self.first_index = 1
        paths = [path for path in segments(directory) if path.stat().st_size]
        for number, path in enumerate(paths):
            if number == 0:
                self._begin(path)
            self._read(path)

    def mark(self) -> JournalMark:
        """Where it begins and ends."""
        return JournalMark(
            executor=self.executor,
            first_index=self.first_index,
            last_index=self._head.index,
            last_digest=self._head.digest,
        )

    def confirm(self, said: RunEvidence, record: Record) -> None:
        """Check that a statement in the log is the journal's record of that number.

        Raises:
            Tampered: `backup.journal`: the journal ends before it, or has another record there.
        """
        if said.executor != self.executor or said.index < self.first_index:
            return  # another host's journal, or committed and forgotten here
        own = self._digests.get(said.index)
        if own != record.digest:
            words = "ends before it" if own is None else "has another one there"
            raise Tampered(
                f"the log has record {said.index}, the journal {words}",
                code="backup.journal",
                where=f"executor/{self.executor}",
            )

    def _begin(self, path: Path) -> None:
        self.first_index = first_index(path)
        if self.first_index == 1:
            return
        # what was before is committed and forgotten; the first record's signed link names it
        own = open_record(first_line(path, MAX_ENVELOPE_BYTES), self._trusted)
        previous = own.statement.predicate.chain.previous
        if previous is None:
            raise Tampered("says that it is the first", code="evidence.chain", where=str(path))
        self._head = Head(journal=self._head.journal, index=self.first_index - 1, digest=Digest(previous))

    def _read(self, path: Path) -> None:
        for line in lines(path.read_bytes()):
            try:
                record = open_record(line, self._trusted)
                check_link(self._head, record.statement.predicate.chain)
            except AgentplaneError as exc:
                message = f"record {self._head.index + 1} does not verify: {exc.message}"
                raise Tampered(message, code="evidence.chain", where=str(path)) from exc
            self._head = advance(self._head, record.digest)
            self._digests[self._head.index] = record.digest
