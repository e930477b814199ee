"""The executor's use of its journal: one writer for all its runs, and each kind of an attempt's claims exactly once.

Identity of a record is (run, epoch, kind): an attempt that is carried on after a crash finds what it has claimed
already and does not claim it again.
"""

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from typing import Any

from agentplane.evidence.journal import Head
from agentplane.evidence.journal_file import Claim, JournalFile
from agentplane.evidence.record import About, Record
from agentplane.evidence.statement import V0_1, RunRef
from agentplane.runs.model import ArtifactFact
from agentplane.runs.protocol import Assignment
from services.executor.authority import Mandate
from services.executor.delivery import Outgoing
from services.executor.runstate import RunKey


class Ledger:
    """The journal behind a lock, off the event loop: signing and fsync take milliseconds."""

    def __init__(self, journal: JournalFile, on_record: Callable[[], None]) -> None:
        self._journal = journal
        self._on_record = on_record
        self._lock = threading.Lock()

    @property
    def head(self) -> Head:
        """Where the journal ends."""
        return self._journal.head

    @property
    def index(self) -> int:
        """Of the last record; 0: empty."""
        return self._journal.head.index

    def read(self, after: int, upto: int) -> Sequence[Outgoing]:
        """The records after `after`, up to and with `upto`."""
        with self._lock:
            records = self._journal.read(max(after + 1, self._journal.first_index))
            wanted = takewhile(lambda record: record.statement.predicate.chain.index <= upto, records)
            return [Outgoing(record.envelope, record.digest) for record in wanted]

    def attempt(self, key: RunKey, start: int) -> tuple[Record, ...]:
        """What an attempt has claimed since journal index `start`."""
        with self._lock:
            return self._journal.attempt(key.tenant, key.run, key.epoch, start=max(1, start))

    async def issue(self, claim: Claim) -> Record:
        """Sign and store one claim. Raises as `JournalFile.issue`."""
        record = await asyncio.to_thread(self._issue, claim)
        self._on_record()
        return record

    async def forget(self, index: int) -> None:
        """Drop old segments that nobody needs: committed, and before every unfinished attempt."""
        await asyncio.to_thread(self._forget, index)

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._journal.close()

    def _issue(self, claim: Claim) -> Record:
        with self._lock:
            return self._journal.issue(claim)

    def _forget(self, index: int) -> None:
        with self._lock:
            self._journal.forget(index)


def about(assignment: Assignment) -> About:
    """What all statements of an attempt share."""
    return About(
        run=RunRef(tenant=assignment.tenant, name=assignment.run, epoch=assignment.epoch),
        bundle=assignment.pins.bundle,
        bundle_digest=assignment.pins.bundle_digest,
    )


class AttemptLedger:
    """One attempt's claims in order, after control's two."""

    def __init__(self, ledger: Ledger, about_run: About, mandate: Mandate | None, records: Iterable[Record]) -> None:
        self._ledger = ledger
        self._about = about_run
        self._control = (mandate.validation, mandate.decision) if mandate else ()
        self._own = list(records)

    @property
    def about(self) -> About:
        """What they all share."""
        return self._about

    @property
    def records(self) -> tuple[Record, ...]:
        """All statements of the attempt, control's first."""
        return (*self._control, *self._own)

    def find(self, kind: str) -> Record | None:
        """The claim of this kind, if it was made."""
        return next((record for record in self._own if record.statement.kind == kind), None)

    async def claim(self, artifact: dict[str, Any], files: Sequence[ArtifactFact] = (), version: str = V0_1) -> Record:
        """Make a claim, unless its kind was made before; answers what the journal holds. Raises as `Ledger.issue`."""
        if made := self.find(str(artifact["kind"])):
            return made
        previous = self.records[-1].digest if self.records else None
        record = await self._ledger.issue(
            Claim(artifact=artifact, about=self._about, run_previous=previous, files=files, version=version)
        )
        self._own.append(record)
        return record
