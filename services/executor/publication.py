"""An ended attempt's evidence: documents as files and as signed statements, then `run-finished`, then the seal.

A statement is journaled before its file is written, and the file is written from the statement, so after a crash both
say the same, whichever was there first.
"""

import asyncio
from concurrent.futures import Executor
from pathlib import Path
from typing import Final

from agentplane.artifacts.document import Document, document_fact
from agentplane.evidence.record import Record
from agentplane.evidence.report import finished_artifact
from agentplane.evidence.seal import SEAL_KIND, seal_artifact
from agentplane.runs.model import ArtifactFact, RunFinished
from agentplane.runs.protocol import Assignment
from services.executor.durable import write_files
from services.executor.ledger import AttemptLedger
from services.executor.reporting import Places, documents, finished_report, run_facts
from services.executor.runstate import Ended, RunRecord
from services.executor.statedir import AttemptDirectory

# Statements that are messages to control, not documents of the run.
_WITHOUT_FILE: Final = frozenset({"RunStarted", "RunFinished"})


class Publication:
    """The last step of one attempt."""

    def __init__(
        self, assignment: Assignment, executor: str, directory: AttemptDirectory, claims: AttemptLedger
    ) -> None:
        self._assignment = assignment
        self._executor = executor
        self._places = Places(run_dir=str(directory.path), out_dir=str(directory.out_dir(assignment.pins.out_dir)))
        self._claims = claims

    async def publish(self, record: RunRecord, ended: Ended, workers: Executor) -> int:
        """Claim everything there is to say, write the files; answers the seal's index in the journal. Idempotent.

        Raises:
            Transient: the disk is full; the same call goes on where it stopped.
        """
        facts = run_facts(self._assignment, self._executor)
        finished = finished_report(self._assignment, self._executor, record, ended, self._places)
        for document in documents(self._assignment, facts, record, finished, ended.ended_at):
            await self._claims.claim(document.artifact, _subjects(document, finished), document.version)
        await self._write(self._claims.records, workers)
        await self._claims.claim(finished_artifact(finished))
        seal = await _seal(record, self._claims)
        await self._write((seal,), workers)
        return seal.statement.predicate.chain.index

    async def _write(self, records: tuple[Record, ...], workers: Executor) -> None:
        files = {document.file_name: document.data for document in _documents(records)}
        out_dir = Path(self._places.out_dir)
        await asyncio.get_running_loop().run_in_executor(workers, write_files, out_dir, files)


async def _seal(record: RunRecord, claims: AttemptLedger) -> Record:
    if made := claims.find(SEAL_KIND):
        return made
    files = [*record.artifacts, *(document_fact(document) for document in _documents(claims.records))]
    return await claims.claim(seal_artifact(claims.about, claims.records, files))


def _documents(records: tuple[Record, ...]) -> list[Document]:
    kept = [record.statement for record in records if record.statement.kind not in _WITHOUT_FILE]
    return [Document(artifact=statement.predicate.artifact, version=statement.version) for statement in kept]


def _subjects(document: Document, finished: RunFinished) -> tuple[ArtifactFact, ...]:
    """The files that a claim is about: the RunArtifact answers for all of them."""
    return finished.artifacts if document.kind == "RunArtifact" else ()
