"""Steps over the records together: one bundle, one run, one chain, one seal, one course of time. Pure."""

import hashlib
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from agentplane.clock import parse_rfc3339
from agentplane.errors import Refused, Tampered
from agentplane.evidence.keys import CONTROL
from agentplane.evidence.record import Record
from agentplane.evidence.seal import SEAL_KIND, sealed
from agentplane.evidence.steps.case import Case, at, member

REQUIRED: Final = ("ValidationArtifact", "PlacementDecision", "RunFinished", "RunArtifact", SEAL_KIND)
SKEW: Final = timedelta(minutes=5)  # what the clocks of two hosts may be apart


def bundle(case: Case) -> str:
    """bundle.json is canonical, and every statement is about exactly that document."""
    document = case.bundle
    digest = "sha256:" + hashlib.sha256(case.export.bundle or b"").hexdigest()
    name = f"{member(document, 'metadata', 'name')}@{member(document, 'metadata', 'version')}"
    for number, record in enumerate(case.records):
        statement = record.statement
        if statement.bundle_digest != digest:
            raise Tampered(
                f"about {statement.bundle_digest}, but bundle.json is {digest}",
                code="evidence.bundle",
                where=at(number),
            )
        said = statement.bundle
        if statement.predicate.artifact.get("bundle", said) != said:
            raise Tampered(
                "its artifact is about another bundle than its subject", code="evidence.bundle", where=at(number)
            )
        # A refused bundle may lack the very fields that a name is made of.
        if said != name and not case.refused:
            raise Tampered(f"about bundle {said}, but bundle.json is {name}", code="evidence.bundle", where=at(number))
    return f"{case.records[0].statement.bundle} {digest}"


def one_run(case: Case) -> str:
    """All statements are about one run of one tenant; the executor's about one epoch, the last one placed."""
    last = case.records[-1].statement.predicate.run
    for number, record in enumerate(case.records):
        run = record.statement.predicate.run
        if (run.tenant, run.name) != (last.tenant, last.name):
            raise Tampered(
                f"about run {run.tenant}/{run.name}, not {last.tenant}/{last.name}",
                code="evidence.run",
                where=at(number),
            )
        expected = 0 if record.statement.kind == "ValidationArtifact" else last.epoch
        if run.epoch != expected:
            raise Tampered(f"of epoch {run.epoch}, not {expected}", code="evidence.run", where=at(number))
    return f"{last.tenant}/{last.name}, epoch {last.epoch}"


def chain(case: Case) -> str:
    """Every statement names the one before it in the run, and journals run on without a turn back."""
    first = case.records[0].statement.predicate.chain
    if first.index != 1 or first.run_previous is not None:
        raise Tampered("the first statement is not the first of its run", code="evidence.chain", where=at(0))
    for number, (before, record) in enumerate(pairwise(case.records), start=1):
        _check_follows(before, record, number)
    return f"{len(case.records)} links"


def seal(case: Case) -> str:
    """The seal is last, and lists exactly the statements before it; nothing is missing, added, repeated or swapped."""
    if case.refused:
        return "refused by validation: nothing to seal"
    kinds = [record.statement.kind for record in case.records]
    missing = [kind for kind in REQUIRED if kind not in kinds]
    if missing:
        raise Tampered(f"no {', no '.join(missing)}: the evidence is not complete", code="evidence.incomplete")
    if len(set(kinds)) != len(kinds):
        repeated = next(kind for kind in kinds if kinds.count(kind) > 1)
        raise Tampered(f"more than one {repeated}", code="evidence.seal")
    found = case.seal
    listed = tuple(sealed(record) for record in case.records[:-1])
    if case.records[-1].statement.kind != SEAL_KIND or found.statements != listed or found.count != len(listed):
        raise Tampered("the seal does not list exactly the statements before it", code="evidence.seal")
    run = case.records[-1].statement.predicate.run
    if (found.run, found.epoch) != (run.name, run.epoch):
        raise Tampered("the seal is of another run", code="evidence.seal")
    return f"{found.count} statements, {len(found.files)} files"


def times(case: Case) -> str:
    """Nothing is dated after now, and nothing before what it follows, but for the skew of two clocks."""
    latest: datetime | None = None
    end = case.now + SKEW
    for number, record in enumerate(case.records):
        moment = _moment(record, number)
        if moment is None:
            continue
        if moment > end:
            raise Tampered(f"dated {moment.isoformat()}, which is not yet", code="evidence.time", where=at(number))
        if latest is not None and moment < latest - SKEW:
            raise Tampered(
                f"dated {moment.isoformat()}, before what it follows", code="evidence.time", where=at(number)
            )
        latest = moment if latest is None else max(latest, moment)
    return f"until {latest.isoformat()}" if latest else "no times"


def _check_follows(before: Record, record: Record, number: int) -> None:
    link, past = record.statement.predicate.chain, before.statement.predicate.chain
    if link.journal == past.journal and link.index <= past.index:
        raise Tampered(f"record {link.index} after record {past.index}", code="evidence.chain", where=at(number))
    if link.journal == past.journal and link.index == past.index + 1 and link.previous != before.digest:
        raise Tampered("does not continue the record before it", code="evidence.chain", where=at(number))
    # A run that was placed again: the decisions before it, and what was reported under them, are of other attempts.
    placed_again = record.identity == before.identity == CONTROL and link.index > past.index + 1
    if placed_again and record.statement.predicate.run.epoch > 1:
        return
    if link.run_previous != before.digest:
        raise Tampered("does not follow the statement before it", code="evidence.chain", where=at(number))


def _moment(record: Record, number: int) -> datetime | None:
    artifact = record.statement.predicate.artifact
    written = artifact.get("capturedAt", artifact.get("createdAt"))
    if written is None:
        return None
    try:
        return parse_rfc3339(str(written))
    except ValueError as exc:
        raise Refused("not a time", code="evidence.time", where=at(number)) from exc
