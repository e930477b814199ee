"""Steps over each record by itself: form, signature, statement, authority, schema. In this order of trust. Pure."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar

from agentplane import schemas
from agentplane.canonical import digest_bytes
from agentplane.errors import AgentplaneError, NotFound, Refused, Tampered
from agentplane.evidence.dsse import check_signature, open_envelope
from agentplane.evidence.export import BUNDLE, EVIDENCE, MANIFEST
from agentplane.evidence.record import Record, check_authority
from agentplane.evidence.report import read_finished, read_started
from agentplane.evidence.statement import read_statement
from agentplane.evidence.steps import validity
from agentplane.evidence.steps.case import Case, at

T = TypeVar("T")
R = TypeVar("R")
Check = Callable[[dict[str, Any]], str | None]


def layout(case: Case) -> str:
    """The three files are there, and everything is a regular file."""
    export = case.export
    if export.strange:
        raise Refused(f"does not belong into an export: {export.strange[0]}", code="evidence.layout")
    found = {EVIDENCE: export.evidence, BUNDLE: export.bundle, MANIFEST: export.manifest}
    missing = [path for path, data in found.items() if data is None]
    if missing:
        raise Refused(f"missing: {', '.join(missing)}", code="evidence.layout", hint="is this the exported directory?")
    return f"{len(export.files)} regular files"


def envelopes(case: Case) -> str:
    """Every line is one DSSE envelope in canonical form."""
    data = case.export.evidence or b""
    if not data.endswith(b"\n"):
        raise Refused("evidence.jsonl does not end with a whole line", code="evidence.envelope")
    case.lines = data[:-1].split(b"\n")
    case.envelopes = _each(case.lines, open_envelope)
    return f"{len(case.lines)} envelopes"


def signatures(case: Case) -> str:
    """Every envelope is signed by a key that the verifier trusts, or that control vouches for in its key history."""
    validity.trust(case)
    case.signers = _each(case.envelopes, lambda envelope: check_signature(envelope, case.trusted))
    used = {(who, envelope.key_id) for who, envelope in zip(case.signers, case.envelopes, strict=True)}
    vouched = case.vouched_for
    return "by " + ", ".join(
        f"{identity} ({key_id[:12]}{', on the word of control' if identity in vouched else ''})"
        for identity, key_id in sorted(used)
    )


def statements(case: Case) -> str:
    """Every payload is an in-toto Statement v1 of ours, in canonical form."""
    read = _each(case.envelopes, lambda envelope: read_statement(envelope.payload))
    case.records = [
        Record(envelope=line, digest=digest_bytes(line), key_id=opened.key_id, identity=signer, statement=statement)
        for line, opened, signer, statement in zip(case.lines, case.envelopes, case.signers, read, strict=True)
    ]
    return f"{len(case.records)} statements"


def authority(case: Case) -> str:
    """Who signed may sign that kind, into that journal: control decides, executors report."""
    _each(case.records, lambda record: check_authority(record.statement, record.identity))
    return f"{len(case.control_records)} by control, {len(case.executor_records)} by an executor"


def artifact_schemas(case: Case) -> str:
    """Every artifact is valid against the schema that its predicate type names."""
    _each(case.records, _check_schema)
    return f"{len({record.statement.predicate_type for record in case.records})} kinds of documents"


def _check_schema(record: Record) -> None:
    statement = record.statement
    wrong = _schema_check(statement.kind, statement.version)(statement.predicate.artifact)
    if wrong is not None:
        raise Refused(f"the {statement.kind} is not valid: {wrong}", code="evidence.schema")


@lru_cache(maxsize=256)
def _schema_check(kind: str, version: str) -> Check:
    match kind:
        case "RunStarted":
            return lambda artifact: _refusal_of(read_started, artifact)
        case "RunFinished":
            return lambda artifact: _refusal_of(read_finished, artifact)
    try:
        name = schemas.for_kind(kind, version)
    except NotFound as exc:
        raise Refused(f"no schema for {kind} {version}", code="evidence.schema") from exc
    is_valid = schemas.validator(name).is_valid
    return lambda artifact: None if is_valid(artifact) else _first_error(name, artifact)


def _refusal_of(read: Callable[[dict[str, Any]], object], artifact: dict[str, Any]) -> str | None:
    try:
        read(artifact)
    except Refused as error:
        return error.message
    return None


def _first_error(name: str, artifact: dict[str, Any]) -> str:
    error = schemas.check(name, artifact)[0]
    return f"{error.path or '/'} {error.message}"


def _each(items: Iterable[T], visit: Callable[[T], R]) -> list[R]:
    """Visit every record; an error says at which one it was."""
    results: list[R] = []
    try:
        for item in items:
            results.append(visit(item))  # noqa: PERF401 - what was done before a failure is how it is located
    except AgentplaneError as error:
        kind = Tampered if isinstance(error, Tampered) else Refused
        raise kind(error.message, code=error.code, where=at(len(results)), hint=error.hint) from error
    return results
