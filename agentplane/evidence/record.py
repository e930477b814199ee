"""Records: one signed statement, made or opened. Pure.

`issue` is the only way to sign a claim, `open_record` the only way to believe one. Order of trust in `open_record`:
form of the envelope, signature by a trusted key, form of the statement, and last whether that key may write that
journal: nothing of the payload is read before its signature is verified.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from agentplane.canonical import digest_bytes
from agentplane.errors import Tampered
from agentplane.evidence.dsse import check_signature, open_envelope, seal_envelope
from agentplane.evidence.journal import control_journal, journal_owner
from agentplane.evidence.keys import CONTROL, Signer, TrustedKeys
from agentplane.evidence.statement import V0_1, Link, RunRef, Statement, read_statement, statement_bytes
from agentplane.ids import Digest
from agentplane.runs.model import ArtifactFact

CONTROL_KINDS: Final = frozenset({"ValidationArtifact", "PlacementDecision"})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement: its bytes, their digest, and what they say."""

    envelope: bytes
    digest: Digest  # of the envelope's bytes
    key_id: str
    identity: str  # who signed
    statement: Statement


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What all statements of a run attempt share."""

    run: RunRef
    bundle: str  # "<name>@<version>"
    bundle_digest: str


def issue(
    artifact: dict[str, Any],
    *,
    about: About,
    link: Link,
    signer: Signer,
    files: Iterable[ArtifactFact] = (),
    version: str = V0_1,
) -> Record:
    """Sign a claim into its place.

    Raises:
        Refused: codes `evidence.statement`, `evidence.envelope`, `canonical.unrepresentable`.
        Tampered: code `evidence.signer`: the signer may not write this journal or claim this kind.
    """
    payload = statement_bytes(
        artifact,
        run=about.run,
        link=link,
        bundle=about.bundle,
        bundle_digest=about.bundle_digest,
        files=files,
        version=version,
    )
    statement = read_statement(payload)
    check_authority(statement, signer.identity)
    envelope = seal_envelope(payload, signer)
    return Record(
        envelope=envelope,
        digest=digest_bytes(envelope),
        key_id=signer.key_id,
        identity=signer.identity,
        statement=statement,
    )


def open_record(envelope: bytes, trusted: TrustedKeys) -> Record:
    """Verify a record by itself (not its place among others).

    Raises:
        Refused: codes `evidence.envelope`, `evidence.statement`: not of the form.
        Tampered: codes `evidence.untrusted-key`, `evidence.signature`, `evidence.signer`.
    """
    opened = open_envelope(envelope)
    identity = check_signature(opened, trusted)
    statement = read_statement(opened.payload)
    check_authority(statement, identity)
    return Record(
        envelope=envelope,
        digest=digest_bytes(envelope),
        key_id=opened.key_id,
        identity=identity,
        statement=statement,
    )


def check_authority(statement: Statement, identity: str) -> None:
    """Check that the signer may write this journal, and make this kind of claim.

    Raises:
        Tampered: code `evidence.signer`.
    """
    journal, run = statement.predicate.chain.journal, statement.predicate.run
    if journal_owner(journal) != identity:
        raise Tampered(f"{identity} signed a record of {journal}", code="evidence.signer", where=journal)
    if identity == CONTROL and journal != control_journal(run.tenant, run.name).journal:
        raise Tampered(f"a record of run {run.tenant}/{run.name} in {journal}", code="evidence.signer", where=journal)
    if (statement.kind in CONTROL_KINDS) != (identity == CONTROL):
        raise Tampered(f"{identity} may not sign a {statement.kind}", code="evidence.signer", where=journal)
