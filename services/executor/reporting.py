"""From an ended attempt to its documents: which there are, and in which order they are claimed. Pure.

`failOnTimeout: false` makes a timeout a success, as the seeds' runner had it; the TimeoutArtifact is there either way.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from agentplane.artifacts.document import Document, RunFacts
from agentplane.artifacts.replay import divergence_artifact, postcondition_artifact, replay_artifact
from agentplane.artifacts.run import run_artifact, timeout_artifact
from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused
from agentplane.replays.compare import compare
from agentplane.runs.model import ArtifactFact, RunFinished, RunStarted
from agentplane.runs.protocol import Assignment
from agentplane.runs.states import Outcome
from services.executor.runstate import Ended, RunRecord

# A record with a list of all files must fit one envelope, in which every byte counts thrice.
MAX_LISTING_BYTES: Final = 300_000
CONSOLE_REF: Final = "console.log"


class Places(msgspec.Struct, frozen=True):
    """Where an attempt's files lie on this host, absolute."""

    run_dir: str
    out_dir: str


def run_facts(assignment: Assignment, executor: str) -> RunFacts:
    """What all documents are built from."""
    return RunFacts(
        tenant=assignment.tenant,
        run=assignment.run,
        epoch=assignment.epoch,
        executor=executor,
        pins=assignment.pins,
        bundle=assignment.bundle,
        bundle_path=assignment.bundle_path,
    )


def started_report(facts: RunFacts, record: RunRecord) -> RunStarted:
    """The report that goes out before a guest is launched."""
    prepared = record.prepared
    return RunStarted(
        executor=facts.executor,
        epoch=facts.epoch,
        guest=prepared.guest if prepared else None,
        accelerator=prepared.accelerator if prepared else "none",
    )


def finished_report(
    assignment: Assignment, executor: str, record: RunRecord, ended: Ended, places: Places
) -> RunFinished:
    """The report that ends an attempt; for a replay with its verdict."""
    finished = RunFinished(
        executor=executor,
        epoch=assignment.epoch,
        outcome=ended.outcome,
        succeeded=succeeded(ended, fail_on_timeout=assignment.pins.fail_on_timeout),
        exit_code=ended.exit_code,
        message=ended.message,
        artifacts=record.artifacts,
        run_dir=places.run_dir,
        out_dir=places.out_dir,
        wall_clock_ms=ended.wall_clock_ms,
        timings_ms={**record.timings_ms, **ended.timings_ms},
    )
    if assignment.expected is None:
        return finished
    return msgspec.structs.replace(finished, replay=compare(assignment.expected, finished))


def succeeded(ended: Ended, *, fail_on_timeout: bool) -> bool:
    """Whether this ending is what the author wanted."""
    if ended.outcome is Outcome.TIMEOUT:
        return not fail_on_timeout
    return ended.outcome is Outcome.EXITED and ended.exit_code == 0


def documents(
    assignment: Assignment, facts: RunFacts, record: RunRecord, finished: RunFinished, ended_at: str
) -> Iterator[Document]:
    """The executor's documents of an ended attempt, in the order in which they are claimed."""
    yield run_artifact(facts, finished, captured_at=ended_at, stdout_ref=CONSOLE_REF if _launched(record) else None)
    guest = record.prepared.guest if record.prepared else None
    yield replay_artifact(facts, guest=guest, artifact_dir=finished.out_dir, captured_at=ended_at)
    if finished.outcome is Outcome.TIMEOUT:
        yield timeout_artifact(facts, backend=assignment.backend, captured_at=ended_at)
    if assignment.expected is not None:
        yield postcondition_artifact(facts, assignment.expected, finished, captured_at=ended_at)
        if divergence := divergence_artifact(facts, assignment.expected, finished, captured_at=ended_at):
            yield divergence


def check_listing(artifacts: Sequence[ArtifactFact]) -> None:
    """Refuse (`artifacts.listing`) what no signed record could list."""
    listing: list[dict[str, Any]] = [msgspec.to_builtins(fact) for fact in artifacts]
    if (size := len(canonical_bytes(listing))) > MAX_LISTING_BYTES:
        raise Refused(
            f"the list of its {len(artifacts)} files takes {size} bytes, more than {MAX_LISTING_BYTES}",
            code="artifacts.listing",
            hint="hand out fewer files, or shorter names; an archive counts as one file",
        )


def _launched(record: RunRecord) -> bool:
    return record.ended is not None and record.ended.directory is not None
