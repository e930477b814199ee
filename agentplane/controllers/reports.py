"""Reports: one record of an executor's journal at a time, in order, each once. The only way back in. Pure.

Order of trust, each step before the next one looks at anything:
(1) envelope, signature of exactly that executor, form (agentplane.evidence.report);
(2) place: committed before -> nothing; a gap -> ask again later; another past than the committed one -> rejected;
(3) run: not ours -> rejected but passed over; an epoch that was replaced -> kept, marked fenced, nothing follows;
    a key that was revoked or rotated out before the record came -> the same, and marked so;
(4) kind: RunStarted and RunFinished move the run, every other kind is evidence only.

The evidence, what follows from it and the journal's progress are one append. A rejection that names the run which
that executor holds quarantines the run: nothing more is believed of it.
"""

from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from agentplane.canonical import digest_bytes
from agentplane.controllers import endings
from agentplane.controllers.decision import NOTHING, TOO_EARLY, Decision
from agentplane.controllers.drafts import Draft, source_of
from agentplane.controllers.recording import decided
from agentplane.controllers.records import ExecutorRecord, Lease, RunKey, RunRecord
from agentplane.controllers.state import ControlState
from agentplane.errors import AgentplaneError, Refused, Tampered
from agentplane.evidence.dsse import open_envelope
from agentplane.evidence.keys import TrustedKeys, executor_identity
from agentplane.evidence.report import Report, parse_report, read_finished, read_started
from agentplane.evidence.statement import read_statement
from agentplane.intents.runs import run_stream
from agentplane.runs import executors, facts
from agentplane.runs.executors import (
    LINK,
    UNKNOWN_RUN,
    ExecutorEvidenceRejected,
    ExecutorJournalAdvanced,
    executor_stream,
)
from agentplane.runs.facts import RunQuarantined
from agentplane.runs.model import RunEvidence, RunFinished
from agentplane.runs.states import Outcome, RunState


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """A report that is not believed, and what it claims to be where that could be read (unverified)."""

    executor: str
    code: str
    message: str
    digest: str
    size_bytes: int
    index: int | None = None
    run: RunKey | None = None


def read_report(data: bytes, executor: str, trusted: TrustedKeys) -> Report | Rejection:
    """Verify a report that came on an executor's subject: what it says, or why it is not believed."""
    try:
        return parse_report(data, trusted, executor)
    except (Refused, Tampered) as error:
        return _rejection(data, executor, error)


def decide(state: ControlState, report: Report | Rejection, now: datetime) -> Decision:
    """What follows from a report; `too_early` when records before it are missing."""
    if isinstance(report, Rejection):
        return reject(state, report, now)
    executor = state.executor(report.executor)
    committed = executor.journal_index
    if report.index > committed + 1:
        return TOO_EARLY
    if report.index < committed or (report.index == committed and report.digest == executor.journal_digest):
        return NOTHING
    if report.index == committed or report.previous != executor.journal_digest:
        message = f"record {report.index} does not follow the committed record {committed} ({executor.journal_digest})"
        return reject(state, _broken_link(report, message), now)
    run = state.run(RunKey(report.tenant, report.run))
    if run is None:
        return pass_over(state, report, code=UNKNOWN_RUN, message="no such run", now=now)
    return _accept(run, executor, report, now)


def reject(state: ControlState, rejection: Rejection, now: datetime) -> Decision:
    """Say that a report is not believed, and quarantine the run that it tried to speak for."""
    executor = state.executor(rejection.executor)
    # The source is the bytes, not the state: the same bytes again are the same event, however often they come.
    draft = Draft(
        "evidence",
        source_of(f"rejected/{rejection.executor}/{rejection.digest}"),
        correlation_id=source_of(f"executor/{rejection.executor}"),
        now=now,
    )
    fact = ExecutorEvidenceRejected(
        code=rejection.code,
        message=rejection.message,
        digest=rejection.digest,
        size_bytes=rejection.size_bytes,
        index=rejection.index,
        tenant=rejection.run.tenant if rejection.run else None,
        run=rejection.run.name if rejection.run else None,
    )
    draft.add(executor_stream(executor.name), executor.version, executors.EVIDENCE_REJECTED, fact)
    run = state.run(rejection.run) if rejection.run else None
    if run is not None:
        _quarantine(draft, run, executor, rejection.code, rejection.message)
    return draft.decision()


def pass_over(state: ControlState, report: Report, *, code: str, message: str, now: datetime) -> Decision:
    """Reject what a genuine record says, yet count it as committed: the records after it are not to blame for it."""
    executor = state.executor(report.executor)
    key = RunKey(report.tenant, report.run)
    draft = _draft(report, state.run(key), now)
    fact = ExecutorEvidenceRejected(
        code=code,
        message=message,
        digest=report.digest,
        size_bytes=len(msgspec.json.encode(report.envelope)),
        index=report.index,
        tenant=report.tenant,
        run=report.run,
        envelope=report.envelope if code == UNKNOWN_RUN else None,
    )
    draft.add(executor_stream(executor.name), executor.version, executors.EVIDENCE_REJECTED, fact)
    _advance(draft, executor, report)
    run = state.run(key)
    if run is not None:
        _quarantine(draft, run, executor, code, message)
    return draft.decision()


def _accept(run: RunRecord, executor: ExecutorRecord, report: Report, now: datetime) -> Decision:
    draft = _draft(report, run, now)
    mark = executor.enrolment.mark(report.key_id, now)
    current = not mark and run.current(executor.name, report.epoch)
    evidence = RunEvidence(
        executor=executor.name,
        index=report.index,
        kind=report.kind,
        epoch=report.epoch,
        envelope=report.envelope,
        fenced=not current,
        decided=decided("reports"),
        mark=mark,
    )
    draft.add(run_stream(*run.key), run.version, facts.EVIDENCE, evidence)
    _advance(draft, executor, report)
    if current and run.lease is not None and run.created is not None:
        if report.bundle_digest == run.created.pins.bundle_digest:
            _follow(draft, run, run.lease, executor, report)
        else:
            message = f"the evidence is about {report.bundle_digest}, the run about {run.created.pins.bundle_digest}"
            _quarantine(draft, run, executor, "subject", message)
    return draft.decision(wake_executors=(executor.name,) if report.kind == _FINISHED else ())


_STARTED: Final = "RunStarted"
_FINISHED: Final = "RunFinished"


def _follow(draft: Draft, run: RunRecord, lease: Lease, executor: ExecutorRecord, report: Report) -> None:
    match report.kind:
        case "RunStarted" if run.state is RunState.LEASED:
            draft.add(run_stream(*run.key), run.version, facts.STARTED, read_started(report.artifact))
        case "RunFinished":
            _end(draft, run, lease, executor, read_finished(report.artifact))
        case _:
            pass


def _end(draft: Draft, run: RunRecord, lease: Lease, executor: ExecutorRecord, finished: RunFinished) -> None:
    # A cancellation that nobody asked for is the executor giving up: the run is not to blame.
    given_up = finished.outcome is Outcome.CANCELLED and run.cancel is None
    if finished.outcome is Outcome.LOST or given_up:
        endings.lose(draft, run, lease, f"executor {executor.name} lost it ({finished.message})")
        endings.release(draft, run, lease, executor, "lost")
    else:
        endings.finish(draft, run, replace(finished, succeeded=finished.succeeded and _may_succeed(run, finished)))
        endings.release(draft, run, lease, executor, "finished")


def _may_succeed(run: RunRecord, finished: RunFinished) -> bool:
    """Whether the outcome allows for what the executor concluded: the bundle's word counts, not the executor's."""
    if finished.outcome is Outcome.TIMEOUT:
        return run.created is not None and not run.created.pins.fail_on_timeout
    return finished.outcome is Outcome.EXITED and finished.exit_code == 0


def _draft(report: Report, run: RunRecord | None, now: datetime) -> Draft:
    return Draft(
        "reports",
        source_of(report.digest),
        correlation_id=run.correlation_id if run else source_of(f"executor/{report.executor}"),
        causation_id=run.last_event if run else None,
        actor=f"executor:{report.executor}",
        now=now,
    )


def _advance(draft: Draft, executor: ExecutorRecord, report: Report) -> None:
    advanced = ExecutorJournalAdvanced(index=report.index, digest=report.digest, tenant=report.tenant, run=report.run)
    draft.add(executor_stream(executor.name), executor.version, executors.JOURNAL_ADVANCED, advanced)


def _quarantine(draft: Draft, run: RunRecord, executor: ExecutorRecord, code: str, message: str) -> None:
    lease = run.lease
    if lease is None or run.ended or lease.executor != executor.name:
        return  # an executor can bring harm to what it holds, and to nothing else
    fact = RunQuarantined(executor=executor.name, epoch=lease.epoch, code=code, message=message)
    draft.add(run_stream(*run.key), run.version, facts.QUARANTINED, fact)
    endings.release(draft, run, lease, executor, "quarantined")


def _broken_link(report: Report, message: str) -> Rejection:
    return Rejection(
        executor=report.executor,
        code=LINK,
        message=message,
        digest=report.digest,
        size_bytes=len(msgspec.json.encode(report.envelope)),
        index=report.index,
        run=RunKey(report.tenant, report.run),
    )


def _rejection(data: bytes, executor: str, error: AgentplaneError) -> Rejection:
    plain = Rejection(
        executor=executor,
        code=error.code,
        message=error.message[:500],
        digest=digest_bytes(data),
        size_bytes=len(data),
    )
    try:
        predicate = read_statement(open_envelope(data).payload).predicate
    except AgentplaneError:
        return plain
    if predicate.chain.journal != executor_identity(executor):
        return plain
    return replace(plain, index=predicate.chain.index, run=RunKey(predicate.run.tenant, predicate.run.name))
