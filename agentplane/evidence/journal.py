"""The rules of a hash-chained journal: what the next record must say of the one before it. Pure.

A journal has one writer: an executor (`executor/<name>`, all its runs interleaved) or the control plane
(`control/<tenant>/<run>`, one per run). A record links twice: to the one before it in the journal, so that nothing
can be cut out of a journal, and to the one before it in the run, so that a run's records prove their own order.
"""

import msgspec

from agentplane.errors import Tampered
from agentplane.evidence.keys import CONTROL, executor_identity
from agentplane.evidence.statement import Link
from agentplane.ids import Digest


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Where a journal ends."""

    journal: str
    index: int = 0  # of the last record; 0: empty
    digest: Digest | None = None  # of the last record; None: empty


def executor_journal(name: str) -> Head:
    """The empty journal of an executor."""
    return Head(journal=executor_identity(name))


def control_journal(tenant: str, run: str) -> Head:
    """The empty journal that the control plane keeps for one run."""
    return Head(journal=f"{CONTROL}/{tenant}/{run}")


def journal_owner(journal: str) -> str:
    """The identity that may write a journal: `control` or `executor/<name>`."""
    return CONTROL if journal.startswith(CONTROL + "/") else journal


def next_link(head: Head, *, run_previous: str | None) -> Link:
    """The link of the record that comes next."""
    return Link(journal=head.journal, index=head.index + 1, previous=head.digest, run_previous=run_previous)


def check_link(head: Head, link: Link) -> None:
    """Check that a record continues a journal.

    Raises:
        Tampered: code `evidence.chain`: another journal, a gap, a repetition, or another past.
    """
    if link.journal != head.journal:
        raise Tampered(f"a record of {link.journal} in {head.journal}", code="evidence.chain", where=head.journal)
    if link.index != head.index + 1:
        raise Tampered(
            f"record {link.index} follows record {head.index}", code="evidence.chain", where=f"{head.journal}"
        )
    if link.previous != head.digest:
        raise Tampered(
            f"record {link.index} continues {link.previous}, but record {head.index} is {head.digest}",
            code="evidence.chain",
            where=head.journal,
        )


def advance(head: Head, digest: Digest) -> Head:
    """The journal after one more record."""
    return Head(journal=head.journal, index=head.index + 1, digest=digest)
