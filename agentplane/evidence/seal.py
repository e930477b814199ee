"""The seal: an executor's last statement of a run attempt, which lists every other one and every file. Pure.

A chain alone shows what was changed in it, not what was cut off its end. The seal says where the end is, so a record
or a file that is dropped, added, repeated or swapped between runs contradicts it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from agentplane.errors import Refused
from agentplane.events.codec import strictly
from agentplane.evidence.record import About, Record
from agentplane.runs.model import ArtifactFact, Wire

SEAL_KIND = "RunSeal"


class SealedStatement(Wire, frozen=True, kw_only=True):
    """One statement of the attempt, in order; the control plane's included."""

    kind: str
    digest: str  # of the envelope
    journal: str
    index: int


class RunSeal(Wire, frozen=True, kw_only=True):
    """What a complete attempt consists of."""

    kind: str
    bundle: str
    run: str
    epoch: int
    count: int  # of statements; the seal itself is not counted
    statements: tuple[SealedStatement, ...]
    files: tuple[ArtifactFact, ...]  # in the artifact directory, by path; the seal's own file is not among them


def seal_artifact(about: About, records: Sequence[Record], files: Sequence[ArtifactFact]) -> dict[str, Any]:
    """The RunSeal document over an attempt: all its records in order, and all files in its artifact directory."""
    statements = tuple(sealed(record) for record in records)
    seal = RunSeal(
        kind=SEAL_KIND,
        bundle=about.bundle,
        run=about.run.name,
        epoch=about.run.epoch,
        count=len(statements),
        statements=statements,
        files=tuple(sorted(files, key=lambda fact: fact.path)),
    )
    document: dict[str, Any] = msgspec.to_builtins(seal)
    return document


def sealed(record: Record) -> SealedStatement:
    """The line of a seal for one record."""
    link = record.statement.predicate.chain
    return SealedStatement(kind=record.statement.kind, digest=record.digest, journal=link.journal, index=link.index)


def read_seal(artifact: dict[str, Any]) -> RunSeal:
    """The struct in a RunSeal document. Raises Refused, code `evidence.seal`."""
    try:
        return strictly(artifact, RunSeal)
    except msgspec.ValidationError as exc:
        raise Refused(f"not a RunSeal: {exc}", code="evidence.seal") from exc
