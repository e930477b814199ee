"""Steps over the records together: one bundle, one run, one chain, one executor, one seal, one story. Pure."""

import hashlib
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

from agentplane.clock import parse_rfc3339
from agentplane.errors import Refused, Tampered
from agentplane.evidence.keys import CONTROL, executor_identity
from agentplane.evidence.record import Record
from agentplane.evidence.report import read_finished
from agentplane.evidence.seal import SEAL_KIND, sealed
from agentplane.evidence.steps.case import Case, at, member
from agentplane.runs.model import RunFinished
from agentplane.runs.states import Outcome

REQUIRED: Final = ("ValidationArtifact", "PlacementDecision", "RunFinished", "RunArtifact", SEAL_KIND)
SKEW: Final = timedelta(minutes=5)  # what the clocks of two hosts may be apart


def bundle(case: Case) -> str:
    """bundle.json is canonical, and every statement is about exactly that document."""
    document = case.bundle
    digest = "sha256:" + hashlib.sha256(case.export.bundle or b"").hexdigest()
    name = f"{member(document, 'metadata', 'name')}@{member(document, 'metadata', 'version')}"
    for number, record in enumerate(case.records):
        if record.statement.bundle_digest != digest:
            raise _wrong("bundle", f"about {record.statement.bundle_digest}, but bundle.json is {digest}", number)
        said = record.statement.bundle
        if record.statement.predicate.artifact.get("bundle", said) != said:
            raise _wrong("bundle", "its artifact is about another bundle than its subject", number)
        # A refused bundle may lack the very fields that a name is made of.
        if said != name and not case.refused:
            raise _wrong("bundle", f"about bundle {said}, but bundle.json is {name}", number)
    return f"{case.records[0].statement.bundle} {digest}"


def one_run(case: Case) -> str:
    """All statements are about one run of one tenant; the executor's about one epoch, the last one placed."""
    last = case.records[-1].statement.predicate.run
    for number, record in enumerate(case.records):
        run = record.statement.predicate.run
        if (run.tenant, run.name) != (last.tenant, last.name):
            raise _wrong("run", f"about run {run.tenant}/{run.name}, not {last.tenant}/{last.name}", number)
        expected = 0 if record.statement.kind == "ValidationArtifact" else last.epoch
        if run.epoch != expected:
            raise _wrong("run", f"of epoch {run.epoch}, not {expected}", number)
    return f"{last.tenant}/{last.name}, epoch {last.epoch}"


def chain(case: Case) -> str:
    """Every statement names the one before it in the run, and journals run on without a turn back."""
    first = case.records[0].statement.predicate.chain
    if first.index != 1 or first.run_previous is not None:
        raise _wrong("chain", "the first statement is not the first of its run", 0)
    for number, (before, record) in enumerate(pairwise(case.records), start=1):
        _check_follows(before, record, number)
    return f"{len(case.records)} links"


def placement(case: Case) -> str:
    """The bundle was valid, and the executor that the decision chose is the one that reports."""
    if case.refused:
        return "refused by validation: nothing was placed"
    if case.artifact("ValidationArtifact").get("valid") is not True:
        raise _wrong("placement", "it ran although validation refused it")
    decision = case.artifact("PlacementDecision")
    chosen = decision["chosenExecutor"]
    for number, record in enumerate(case.records):
        if record.identity not in {CONTROL, executor_identity(chosen)}:
            raise _wrong("placement", f"{chosen} was chosen, but {record.identity} reports", number)
        artifact = record.statement.predicate.artifact
        if artifact.get("executor", chosen) != chosen:
            raise _wrong("placement", f"{chosen} was chosen, the artifact says {artifact['executor']}", number)
    receipt = case.find("PlacementReceipt")
    if receipt is not None:
        _check_receipt(case, receipt, decision)
    return str(chosen)


def seal(case: Case) -> str:
    """The seal is last, and lists exactly the statements before it; nothing is missing, added, repeated or swapped."""
    if case.refused:
        return "refused by validation: nothing to seal"
    kinds = Counter(record.statement.kind for record in case.records)
    missing = [kind for kind in REQUIRED if not kinds[kind]]
    if missing:
        raise Tampered(f"no {', no '.join(missing)}: the evidence is not complete", code="evidence.incomplete")
    repeated = [kind for kind, count in kinds.items() if count > 1]
    if repeated:
        raise Tampered(f"more than one {repeated[0]}", code="evidence.seal")
    found = case.seal()
    listed = tuple(sealed(record) for record in case.records[:-1])
    if case.records[-1].statement.kind != SEAL_KIND or found.statements != listed or found.count != len(listed):
        raise Tampered("the seal does not list exactly the statements before it", code="evidence.seal")
    run = case.records[-1].statement.predicate.run
    if (found.run, found.epoch) != (run.name, run.epoch):
        raise Tampered("the seal is of another run", code="evidence.seal")
    return f"{found.count} statements, {len(found.files)} files"


def outcome(case: Case) -> str:
    """The artifacts tell the same end as the executor's final report, and that end allows its verdict."""
    if case.refused:
        return "refused by validation: nothing ran"
    finished = read_finished(case.artifact("RunFinished"))
    run = case.artifact("RunArtifact")
    told = (run["status"], run["exitCode"], run.get("outcome", finished.outcome.value))
    if told != ("success" if finished.succeeded else "failure", finished.exit_code, finished.outcome.value):
        raise _wrong("outcome", "the RunArtifact and the executor's final report tell different ends")
    if finished.succeeded and not _may_succeed(finished, case.bundle):
        raise _wrong("outcome", f"it cannot have succeeded: {finished.outcome.value}, exit code {finished.exit_code}")
    _check_companions(case, finished)
    return f"{finished.outcome.value}, exit code {finished.exit_code}, {told[0]}"


def times(case: Case) -> str:
    """Nothing is dated after now, and nothing before what it follows, but for the skew of two clocks."""
    latest: datetime | None = None
    for number, record in enumerate(case.records):
        moment = _moment(record, number)
        if moment is None:
            continue
        if moment > case.now + SKEW:
            raise _wrong("time", f"dated {moment.isoformat()}, which is not yet", number)
        if latest is not None and moment < latest - SKEW:
            raise _wrong("time", f"dated {moment.isoformat()}, before what it follows", number)
        latest = moment if latest is None else max(latest, moment)
    return f"until {latest.isoformat()}" if latest else "no times"


def _wrong(step: str, message: str, number: int | None = None) -> Tampered:
    return Tampered(message, code=f"evidence.{step}", where=None if number is None else at(number))


def _check_follows(before: Record, record: Record, number: int) -> None:
    link, past = record.statement.predicate.chain, before.statement.predicate.chain
    if link.journal == past.journal and link.index <= past.index:
        raise _wrong("chain", f"record {link.index} after record {past.index}", number)
    if link.journal == past.journal and link.index == past.index + 1 and link.previous != before.digest:
        raise _wrong("chain", "does not continue the record before it", number)
    # A run that was placed again: the decisions before it, and what was reported under them, are of other attempts.
    placed_again = record.identity == before.identity == CONTROL and link.index > past.index + 1
    if placed_again and record.statement.predicate.run.epoch > 1:
        return
    if link.run_previous != before.digest:
        raise _wrong("chain", "does not follow the statement before it", number)


def _check_receipt(case: Case, receipt: dict[str, Any], decision: dict[str, Any]) -> None:
    received = receipt["decision"]
    if (received["scheduler"], received["chosenSite"]) != (decision, decision["chosenExecutor"]):
        raise _wrong("placement", "the receipt is not for the decision that was made")
    if receipt["signedBy"] not in {record.key_id for record in case.executor_records}:
        raise _wrong("placement", "the receipt names another key than the one that signed it")


def _may_succeed(finished: RunFinished, bundle_document: dict[str, Any]) -> bool:
    if finished.outcome is Outcome.TIMEOUT:
        return member(bundle_document, "spec", "policy", "failOnTimeout") is False
    return finished.outcome is Outcome.EXITED and finished.exit_code == 0


def _check_companions(case: Case, finished: RunFinished) -> None:
    """Which other documents an end has to come with."""
    replay = finished.replay
    expected = {
        "TimeoutArtifact": finished.outcome is Outcome.TIMEOUT,
        "PostconditionArtifact": replay is not None,
        "DivergenceArtifact": replay is not None and not replay.match,
    }
    for kind, wanted in expected.items():
        if (case.find(kind) is not None) != wanted:
            raise _wrong("outcome", f"{'no' if wanted else 'a'} {kind} with the end {finished.outcome.value}")
    if replay is not None and (case.artifact("PostconditionArtifact")["comparisonResult"] == "MATCH") != replay.match:
        raise _wrong("outcome", "the PostconditionArtifact and the replay's verdict contradict each other")


def _moment(record: Record, number: int) -> datetime | None:
    artifact = record.statement.predicate.artifact
    written = artifact.get("capturedAt", artifact.get("createdAt"))
    if written is None:
        return None
    try:
        return parse_rfc3339(str(written))
    except ValueError as exc:
        raise Refused("not a time", code="evidence.time", where=at(number)) from exc
