"""What an executor sends: every report is a signed statement, artifacts and messages alike. Pure.

`RunStarted` and `RunFinished` travel as artifacts of those kinds; all other kinds are documents of the seeds.
The control plane believes a report only through `parse_report`.
"""

from typing import Any, TypeVar

import msgspec

from agentplane.errors import Refused, Tampered
from agentplane.events.codec import strictly
from agentplane.evidence.dsse import envelope_value
from agentplane.evidence.keys import TrustedKeys, executor_identity
from agentplane.evidence.record import Record, open_record
from agentplane.ids import Digest
from agentplane.runs.model import RunFinished, RunStarted

Message = TypeVar("Message", RunStarted, RunFinished)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One verified record of an executor's journal."""

    executor: str
    key_id: str  # that signed it
    kind: str
    tenant: str
    run: str
    epoch: int
    bundle_digest: Digest
    index: int  # in the executor's journal
    previous: str | None  # digest of the record before it in the journal
    digest: Digest  # of this record
    artifact: dict[str, Any]
    envelope: dict[str, Any]  # DSSE, as events carry it


def started_artifact(started: RunStarted) -> dict[str, Any]:
    """The artifact document of a RunStarted report."""
    return {"kind": "RunStarted", **msgspec.to_builtins(started)}


def finished_artifact(finished: RunFinished) -> dict[str, Any]:
    """The artifact document of a RunFinished report."""
    return {"kind": "RunFinished", **msgspec.to_builtins(finished)}


def read_started(artifact: dict[str, Any]) -> RunStarted:
    """The struct in a RunStarted document. Raises Refused, code `evidence.report`."""
    return _read(artifact, RunStarted)


def read_finished(artifact: dict[str, Any]) -> RunFinished:
    """The struct in a RunFinished document. Raises Refused, code `evidence.report`."""
    return _read(artifact, RunFinished)


def parse_report(envelope: bytes, trusted: TrustedKeys, expected_executor: str) -> Report:
    """Verify a report that came from an executor.

    Raises:
        Refused: codes `evidence.envelope`, `evidence.statement`, `evidence.report`: not of the form.
        Tampered: codes `evidence.untrusted-key`, `evidence.signature`, `evidence.signer`: not from that executor.
    """
    record = open_record(envelope, trusted)
    if record.identity != executor_identity(expected_executor):
        raise Tampered(f"{record.identity} signed a report of executor {expected_executor}", code="evidence.signer")
    _check_message(record, expected_executor)
    predicate = record.statement.predicate
    return Report(
        executor=expected_executor,
        key_id=record.key_id,
        kind=record.statement.kind,
        tenant=predicate.run.tenant,
        run=predicate.run.name,
        epoch=predicate.run.epoch,
        bundle_digest=record.statement.bundle_digest,
        index=predicate.chain.index,
        previous=predicate.chain.previous,
        digest=record.digest,
        artifact=predicate.artifact,
        envelope=envelope_value(envelope),
    )


def _check_message(record: Record, executor: str) -> None:
    predicate = record.statement.predicate
    if predicate.run.epoch < 1:
        raise Refused("an executor's report for no lease epoch", code="evidence.report")
    message = _message(predicate.artifact)
    if message is not None and (message.executor, message.epoch) != (executor, predicate.run.epoch):
        raise Refused(
            f"a {record.statement.kind} of {message.executor}, epoch {message.epoch}, "
            f"in a statement of {executor}, epoch {predicate.run.epoch}",
            code="evidence.report",
        )


def _message(artifact: dict[str, Any]) -> RunStarted | RunFinished | None:
    match artifact["kind"]:
        case "RunStarted":
            return read_started(artifact)
        case "RunFinished":
            return read_finished(artifact)
        case _:
            return None


def _read(artifact: dict[str, Any], struct: type[Message]) -> Message:
    fields = {name: value for name, value in artifact.items() if name != "kind"}
    try:
        return strictly(fields, struct)
    except msgspec.ValidationError as exc:
        raise Refused(f"not a {struct.__name__}: {exc}", code="evidence.report") from exc
