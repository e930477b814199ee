"""Whether an assignment is control's word. What does not verify is refused and reported, never run. Pure.

The bus only carries: whoever can publish on it could put words into control's mouth, but not its signature under them.
"""

from typing import Any

import msgspec

from agentplane.canonical import digest_value
from agentplane.errors import Tampered
from agentplane.evidence.dsse import envelope_bytes
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import Record, open_record
from agentplane.runs.pinned import BACKEND_CAP, DIGEST_CAP, Pinned, pinned_digest
from agentplane.runs.protocol import Assignment


class Mandate(msgspec.Struct, frozen=True, kw_only=True):
    """Control's two statements behind an assignment, verified."""

    validation: Record
    decision: Record


def verify_assignment(assignment: Assignment, executor: str, trusted: TrustedKeys) -> Mandate:
    """Check, in this order, that control signed both statements and that they are about this very assignment.

    (1) there is one ValidationArtifact and one PlacementDecision, each signed by a trusted key of control;
    (2) both are about this tenant and run, the decision under this epoch;
    (3) both are about this bundle: the document's digest, the pins and the statements agree;
    (4) the validation says valid;
    (5) the decision chose this executor and this backend;
    (6) the decision is about these very pins: source, inputs, limits, policy, seed, and what a replay repeats.

    Raises:
        Tampered: `assignment.statements`, `.run`, `.bundle`, `.invalid`, `.executor`, `.backend`,
            `.pins`, or as `open_record`.
        Refused: as `open_record`: a statement is not of the form.
    """
    records = [open_record(envelope_bytes(value), trusted) for value in assignment.statements]
    mandate = Mandate(validation=_one(records, "ValidationArtifact"), decision=_one(records, "PlacementDecision"))
    _check_run(assignment, mandate)
    _check_bundle(assignment, records)
    if _artifact(mandate.validation).get("valid") is not True:
        raise Tampered("control's validation does not say that the bundle is valid", code="assignment.invalid")
    if (chosen := _artifact(mandate.decision).get("chosenExecutor")) != executor:
        raise Tampered(f"control placed it on {chosen!r}, this is {executor!r}", code="assignment.executor")
    _check_work(assignment, mandate.decision)
    return mandate


def _one(records: list[Record], kind: str) -> Record:
    found = [record for record in records if record.statement.kind == kind]
    if len(found) != 1:
        raise Tampered(f"{len(found)} statements of kind {kind}, one is wanted", code="assignment.statements")
    return found[0]


def _artifact(record: Record) -> dict[str, Any]:
    return record.statement.predicate.artifact


def _check_run(assignment: Assignment, mandate: Mandate) -> None:
    for record in (mandate.validation, mandate.decision):
        run = record.statement.predicate.run
        if (run.tenant, run.name) != (assignment.tenant, assignment.run):
            raise Tampered(f"a {record.statement.kind} of {run.tenant}/{run.name}", code="assignment.run")
    if (epoch := mandate.decision.statement.predicate.run.epoch) != assignment.epoch:
        raise Tampered(f"the decision is of epoch {epoch}, not {assignment.epoch}", code="assignment.run")


def _check_work(assignment: Assignment, decision: Record) -> None:
    caps = _artifact(decision).get("caps")
    said = caps if isinstance(caps, dict) else {}
    if said.get(BACKEND_CAP) != assignment.backend:
        raise Tampered(
            f"control decided for backend {said.get(BACKEND_CAP)!r}, not {assignment.backend!r}",
            code="assignment.backend",
        )
    pinned = Pinned(pins=assignment.pins, replay_guest=assignment.replay_guest, expected=assignment.expected)
    if said.get(DIGEST_CAP) != pinned_digest(pinned):
        raise Tampered("control's decision is about other pins than these", code="assignment.pins")


def _check_bundle(assignment: Assignment, records: list[Record]) -> None:
    digests = {str(record.statement.bundle_digest) for record in records}
    digests |= {assignment.pins.bundle_digest, str(digest_value(assignment.bundle))}
    names = {record.statement.bundle for record in records} | {assignment.pins.bundle}
    if len(digests) != 1 or len(names) != 1:
        raise Tampered("statements, pins and document are not about the same bundle", code="assignment.bundle")
