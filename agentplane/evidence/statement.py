"""The claim itself: an in-toto Statement v1 about one bundle digest, with its place in a run and in a journal. Pure.

Source: in-toto attestation framework, Statement v1. The predicate is ours: `artifact` is a document of the seeds,
`run` says whose, `chain` says after which other records. Never a float, never a value that is not in RFC 8785 form.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused
from agentplane.evidence.strict import StrictReader
from agentplane.ids import DIGEST, Digest
from agentplane.runs.model import ArtifactFact

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_BASE: Final = "https://agentplane.socioprophet.org"
V0_1: Final = "v0.1"
V0_2: Final = "v0.2"
MAX_PAYLOAD_BYTES: Final = 740_000
_HEX: Final = re.compile(r"[a-f0-9]{64}")
_KIND: Final = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
_WORD: Final = re.compile(r"(?<!^)(?=[A-Z])")
_PREDICATE: Final = re.compile(re.escape(PREDICATE_BASE) + r"/([a-z]+(?:-[a-z]+)*)/(v0\.[12])")
_BUNDLE_SUBJECT: Final = "bundle:"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the statement's parts. Every field is always present: `null` is said, never left out."""


class RunRef(_Strict, frozen=True, kw_only=True):
    """Whose claim this is. Epoch 0: before any executor had the run."""

    tenant: str
    name: str
    epoch: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Link(_Strict, frozen=True, kw_only=True):
    """A record's place: in its journal, and after which other statement of the same run."""

    journal: str  # "executor/<name>" or "control/<tenant>/<run>"
    index: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    previous: str | None  # digest of the record before it in the journal; None: the first
    run_previous: str | None  # digest of the statement before it in the run, in whichever journal; None: the first


class Predicate(_Strict, frozen=True, kw_only=True):
    """What is claimed, of which run, at which place."""

    artifact: dict[str, Any]
    run: RunRef
    chain: Link


class ContentDigest(_Strict, frozen=True, kw_only=True):
    """in-toto's digest set, of which we take one algorithm and no other."""

    sha256: str  # hex


class Subject(_Strict, frozen=True, kw_only=True):
    """What the claim is about: a name and its content."""

    name: str
    digest: ContentDigest


class Statement(_Strict, frozen=True, kw_only=True):
    """An in-toto Statement v1 with our predicate."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: Predicate

    @property
    def kind(self) -> str:
        """The artifact's kind: `RunArtifact`."""
        kind: str = self.predicate.artifact["kind"]
        return kind

    @property
    def version(self) -> str:
        """The version of the artifact's schema: `v0.1` or `v0.2`."""
        return self.predicate_type.rpartition("/")[2]

    @property
    def bundle(self) -> str:
        """`<name>@<version>`."""
        return self.subject[0].name.removeprefix(_BUNDLE_SUBJECT)

    @property
    def bundle_digest(self) -> Digest:
        """The bundle document that was run."""
        return Digest("sha256:" + self.subject[0].digest.sha256)

    @property
    def files(self) -> dict[str, str]:
        """Files the claim is about: path in the artifact directory -> hex SHA-256."""
        return {subject.name: subject.digest.sha256 for subject in self.subject[1:]}


_READER: Final = StrictReader(
    Statement,
    untyped=lambda statement: statement.predicate.artifact,
    code="evidence.statement",
    max_bytes=MAX_PAYLOAD_BYTES,
)


@lru_cache(maxsize=256)
def kebab(kind: str) -> str:
    """`RunArtifact` -> `run-artifact`. Raises Refused for what is not a kind."""
    if not _KIND.fullmatch(kind):
        raise Refused(f"{kind[:80]!r} is not the name of a kind", code="evidence.statement")
    return _WORD.sub("-", kind).lower()


def predicate_type(kind: str, version: str = V0_1) -> str:
    """The predicate type of an artifact kind: a URL that names its schema."""
    return f"{PREDICATE_BASE}/{kebab(kind)}/{version}"


def statement_bytes(
    artifact: dict[str, Any],
    *,
    run: RunRef,
    link: Link,
    bundle: str,
    bundle_digest: str,
    files: Iterable[ArtifactFact] = (),
    version: str = V0_1,
) -> bytes:
    """The RFC 8785 bytes of a statement that claims `artifact`.

    Raises:
        Refused: code `evidence.statement` (no kind, a bad digest, a float, too large) or `canonical.unrepresentable`.
    """
    subjects = [_subject(_BUNDLE_SUBJECT + bundle, bundle_digest.removeprefix("sha256:"))]
    subjects += [_subject(fact.path, fact.sha256) for fact in sorted(files, key=lambda fact: fact.path)]
    statement = Statement(
        type=STATEMENT_TYPE,
        subject=tuple(subjects),
        predicate_type=predicate_type(str(artifact.get("kind", "")), version),
        predicate=Predicate(artifact=artifact, run=run, chain=link),
    )
    data = canonical_bytes(msgspec.to_builtins(statement))
    read_statement(data)  # whatever we could not read back we must not sign
    return data


def read_statement(payload: bytes) -> Statement:
    """Parse and check a statement's own form.

    Raises:
        Refused: code `evidence.statement`.
    """
    statement: Statement = _READER.read(payload)
    if statement.type != STATEMENT_TYPE:
        raise Refused(f"statement type {statement.type[:80]!r}, not {STATEMENT_TYPE}", code="evidence.statement")
    _check_kind(statement)
    _check_subjects(statement.subject)
    _check_link(statement.predicate.chain)
    return statement


def _check_kind(statement: Statement) -> None:
    kind = statement.predicate.artifact.get("kind")
    if not isinstance(kind, str) or kebab(kind) != _named(statement.predicate_type):
        raise Refused(
            f"predicate type {statement.predicate_type[:120]!r} for kind {str(kind)[:80]!r}", code="evidence.statement"
        )


@lru_cache(maxsize=256)
def _named(predicate: str) -> str | None:
    named = _PREDICATE.fullmatch(predicate)
    return named[1] if named else None


def _check_subjects(subjects: tuple[Subject, ...]) -> None:
    if not subjects or not subjects[0].name.startswith(_BUNDLE_SUBJECT):
        raise Refused("the first subject is not the bundle", code="evidence.statement")
    if len(subjects) > 1:
        names = [subject.name for subject in subjects[1:]]
        if names != sorted(set(names)):
            raise Refused("the files among the subjects are not sorted and distinct", code="evidence.statement")
    for subject in subjects:
        if not _HEX.fullmatch(subject.digest.sha256):
            raise Refused(f"subject {subject.name[:120]!r} has no digest of the form sha256", code="evidence.statement")


def _check_link(link: Link) -> None:
    previous, run_previous = link.previous, link.run_previous
    if not _is_digest_or_none(previous) or not (run_previous == previous or _is_digest_or_none(run_previous)):
        raise Refused("a link to something that is not a digest", code="evidence.statement")
    if link.index < 1 or (link.index == 1) != (previous is None):
        raise Refused(f"record {link.index} of its journal with previous {previous}", code="evidence.statement")


def _is_digest_or_none(text: str | None) -> bool:
    return text is None or DIGEST.fullmatch(text) is not None


def _subject(name: str, sha256: str) -> Subject:
    return Subject(name=name, digest=ContentDigest(sha256=sha256))
