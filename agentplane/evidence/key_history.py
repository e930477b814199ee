"""Which of an executor's keys counted when: control's signed word, made for one run and exported with it. Pure.

An in-toto Statement v1 in a DSSE envelope, signed by control. Its predicate says, from the log: every key of the
executors that reported about the run, from which event on it was theirs, until when, and whether they were revoked;
and of each of their statements at which event it was committed, and whether it was believed then. A statement that is
not in it was not committed: whoever has a key that is revoked can sign, but not have it committed before that.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agentplane.canonical import canonical_bytes
from agentplane.clock import parse_rfc3339
from agentplane.errors import Refused, Tampered
from agentplane.evidence.dsse import check_signature, open_envelope, seal_envelope
from agentplane.evidence.keys import CONTROL, Signer, TrustedKeys, executor_identity, key_id
from agentplane.evidence.record import Record
from agentplane.evidence.statement import STATEMENT_TYPE, ContentDigest, Subject, predicate_type
from agentplane.evidence.strict import StrictReader
from agentplane.ids import DIGEST, DNS_LABEL

KIND: Final = "ExecutorKeys"
PREDICATE_TYPE: Final = predicate_type(KIND)
_MAX_PAYLOAD_BYTES: Final = 740_000
_MAX_KEY: Final = 200  # characters; an Ed25519 key takes 60

Sequence53 = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # of an event in control's log


class _Strict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Every field is always present: `null` is said, never left out."""


class KeySpan(_Strict, frozen=True, kw_only=True):
    """One key, and the part of the log in which it counted."""

    key_id: str
    public_key: str  # SubjectPublicKeyInfo (DER), base64
    admitted: Sequence53  # by this event; 0: by control's configuration, before all events
    superseded: Sequence53 | None  # by this event, which named `until`
    until: str | None  # RFC 3339: the end of the overlap, by control's clock


class ExecutorSpan(_Strict, frozen=True, kw_only=True):
    """An executor's keys. `revoked`: the event that ended them all."""

    name: str
    revoked: Sequence53 | None
    revoked_at: str | None
    keys: tuple[KeySpan, ...]

    def find(self, wanted: str) -> KeySpan | None:
        """The key with this id."""
        return next((key for key in self.keys if key.key_id == wanted), None)


class Committed(_Strict, frozen=True, kw_only=True):
    """One statement of an executor, and where it stands in the log."""

    digest: str  # of the envelope
    sequence: Sequence53
    committed_at: str  # RFC 3339, by control's clock
    executor: str
    index: Sequence53  # in the executor's journal
    epoch: Sequence53
    fenced: bool  # of an attempt that had been replaced, or marked
    mark: str  # "key-revoked", "key-expired": why it was kept and not believed


class KeyHistory(_Strict, frozen=True, kw_only=True):
    """The predicate: what control's log says up to the event `as_of`."""

    kind: str
    tenant: str
    run: str
    as_of: Sequence53
    captured_at: str
    executors: tuple[ExecutorSpan, ...]  # who reported about this run, by name
    statements: tuple[Committed, ...]  # theirs about this run, in order

    def executor(self, name: str) -> ExecutorSpan | None:
        """One executor's keys."""
        return next((each for each in self.executors if each.name == name), None)


class _KeyStatement(_Strict, frozen=True, kw_only=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: KeyHistory


class SignedHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A history whose signature was verified."""

    history: KeyHistory
    bundle_digest: str  # of the bundle that the run was about
    key_id: str  # of control's key that signed


_READER: Final = StrictReader(
    _KeyStatement, untyped=lambda _: {}, code="evidence.key-history", max_bytes=_MAX_PAYLOAD_BYTES
)


def sign_history(history: KeyHistory, *, bundle: str, bundle_digest: str, signer: Signer) -> bytes:
    """The envelope of a history.

    Raises:
        Refused: code `evidence.key-history`, `evidence.envelope`: too large, or what nobody could read back.
    """
    subject = Subject(name=f"bundle:{bundle}", digest=ContentDigest(sha256=bundle_digest.removeprefix("sha256:")))
    statement = _KeyStatement(type=STATEMENT_TYPE, subject=(subject,), predicate_type=PREDICATE_TYPE, predicate=history)
    data = canonical_bytes(msgspec.to_builtins(statement))
    _read(data)  # whatever we could not read back we must not sign
    return seal_envelope(data, signer)


def open_history(envelope: bytes, trusted: TrustedKeys) -> SignedHistory:
    """Verify a history.

    Raises:
        Refused: codes `evidence.envelope`, `evidence.key-history`: not of the form.
        Tampered: codes `evidence.untrusted-key`, `evidence.signature`, `evidence.signer` (not by control).
    """
    opened = open_envelope(envelope)
    if (identity := check_signature(opened, trusted)) != CONTROL:
        raise Tampered(f"{identity} may not say which keys count", code="evidence.signer")
    statement = _read(opened.payload)
    digest = "sha256:" + statement.subject[0].digest.sha256
    return SignedHistory(history=statement.predicate, bundle_digest=digest, key_id=opened.key_id)


def trusting(own: TrustedKeys, history: KeyHistory) -> TrustedKeys:
    """Own keys, and those of the history for executors of whom one holds none: what one holds oneself comes first.

    Raises:
        Refused: code `evidence.key-history`: not a key, or not the one that its id names.
        Tampered: code `evidence.key-history`: a key of two executors, or one of control's.
    """
    added = {
        executor_identity(each.name): tuple(_public(key) for key in each.keys)
        for each in history.executors
        if executor_identity(each.name) not in own.identities
    }
    try:
        return own.with_keys(added) if added else own
    except ValueError as exc:
        raise Tampered(str(exc), code="evidence.key-history") from exc


def check_committed(history: KeyHistory, record: Record, committed: Mapping[str, Committed]) -> None:
    """Check that an executor's statement was committed, and believed, while the key that signed it counted.

    `committed`: the statements of the history by digest.

    Raises:
        Tampered: codes `evidence.uncommitted`, `evidence.key-unknown`, `evidence.key-early`, `evidence.key-revoked`,
            `evidence.key-expired`, `evidence.fenced`.
    """
    key = record.key_id
    found = committed.get(record.digest)
    if found is None:
        raise _uncommitted(history, key)
    executor = history.executor(found.executor)
    span = executor.find(key) if executor else None
    if executor is None or span is None or record.identity != executor_identity(executor.name):
        raise Tampered(
            f"committed as event {found.sequence} of {found.executor}, but key {key[:12]} was never its own",
            code="evidence.key-unknown",
        )
    _check_span(executor, span, found)
    if found.fenced:
        raise Tampered(
            f"committed as event {found.sequence}, when another attempt had replaced this one", code="evidence.fenced"
        )


def _uncommitted(history: KeyHistory, key: str) -> Tampered:
    whose = [each for each in history.executors if each.find(key)]
    revoked = next((each.revoked for each in whose if each.revoked is not None), None)
    if revoked is not None:
        return Tampered(
            f"signed with key {key[:12]}, revoked by event {revoked}, and not committed before that",
            code="evidence.key-revoked",
        )
    return Tampered(
        f"signed with key {key[:12]}, but not committed up to event {history.as_of}",
        code="evidence.uncommitted",
        hint="control's log does not have this statement; whoever has the key signed it for you alone",
    )


def _check_span(executor: ExecutorSpan, span: KeySpan, found: Committed) -> None:
    said = f"committed as event {found.sequence} with key {span.key_id[:12]} of {executor.name}"
    if executor.revoked is not None and found.sequence > executor.revoked:
        raise Tampered(f"{said}, which event {executor.revoked} had revoked", code="evidence.key-revoked")
    if found.mark == "key-revoked":
        raise Tampered(f"{said}, which was revoked before", code="evidence.key-revoked")
    if found.sequence < span.admitted:
        raise Tampered(f"{said}, which event {span.admitted} admitted", code="evidence.key-early")
    late = span.until is not None and parse_rfc3339(found.committed_at) >= parse_rfc3339(span.until)
    if late or found.mark:
        raise Tampered(
            f"{said}, which event {span.superseded} had superseded until {span.until}", code="evidence.key-expired"
        )


def _read(payload: bytes) -> _KeyStatement:
    statement: _KeyStatement = _READER.read(payload)
    if (statement.type, statement.predicate_type, statement.predicate.kind) != (STATEMENT_TYPE, PREDICATE_TYPE, KIND):
        raise _unfit(f"a statement of type {statement.predicate_type[:120]!r}, not {PREDICATE_TYPE}")
    subjects = statement.subject
    if len(subjects) != 1 or not DIGEST.fullmatch("sha256:" + subjects[0].digest.sha256):
        raise _unfit("not about exactly one bundle by its sha256")
    _check_members(statement.predicate)
    return statement


def _check_members(history: KeyHistory) -> None:
    for each in history.executors:
        if not DNS_LABEL.fullmatch(each.name):
            raise _unfit(f"{each.name[:80]!r} is not the name of an executor")
    _check_distinct([each.name for each in history.executors])
    _check_distinct([each.digest for each in history.statements])
    times = [history.captured_at, *(each.committed_at for each in history.statements)]
    times += [key.until for each in history.executors for key in each.keys if key.until is not None]
    try:
        for each_time in times:
            parse_rfc3339(each_time)
    except ValueError as exc:
        raise _unfit(f"not a time: {exc}") from exc


def _check_distinct(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise _unfit("something is listed twice")


def _public(span: KeySpan) -> Ed25519PublicKey:
    try:
        key = load_der_public_key(base64.b64decode(span.public_key[:_MAX_KEY], validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as exc:
        raise _unfit("not a public key in DER and base64") from exc
    if not isinstance(key, Ed25519PublicKey) or key_id(key) != span.key_id:
        raise _unfit(f"not the Ed25519 key {span.key_id[:12]}")
    return key


def _unfit(message: str) -> Refused:
    return Refused(message, code="evidence.key-history")
