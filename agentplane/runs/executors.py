"""Payloads of the facts on an executor's stream: what it is, what it holds, how far its journal is committed. Pure.

Executors belong to the platform, not to a tenant: their streams are `system/Executor/default/<name>`.
Leases of all tenants' runs stand on this one stream, so that its expected version makes overcommitment impossible:
`run.placed` and `executor.leased` are one append, and of two control processes one loses and decides again.
"""

from typing import Any, Final

from agentplane.events.model import StreamId
from agentplane.runs.model import Resources, Wire
from agentplane.runs.protocol import ExecutorFacts

SYSTEM_TENANT: Final = "system"
KIND: Final = "Executor"

REGISTERED: Final = "executor.registered"
REPORTED: Final = "executor.reported"
UNREACHABLE: Final = "executor.unreachable"
RECOVERED: Final = "executor.recovered"
LEASED: Final = "executor.leased"
RELEASED: Final = "executor.released"
JOURNAL_ADVANCED: Final = "executor.journal-advanced"
EVIDENCE_REJECTED: Final = "executor.evidence-rejected"

LINK: Final = "link"  # signed by the executor, but not what follows in its journal
UNKNOWN_RUN: Final = "unknown-run"


def executor_stream(name: str) -> StreamId:
    """The stream of an executor's facts."""
    return StreamId(tenant=SYSTEM_TENANT, kind=KIND, namespace="default", name=name)


class ExecutorRegistered(Wire, frozen=True, kw_only=True):
    """Fact `executor.registered`: first heard of, or heard of with another key. Its key is the trusted one."""

    key_id: str  # sha256 of the public key, hex
    boot_id: str
    facts: ExecutorFacts


class ExecutorReported(Wire, frozen=True, kw_only=True):
    """Fact `executor.reported`: it reports other facts than before, or booted again."""

    boot_id: str
    facts: ExecutorFacts


class ExecutorUnreachable(Wire, frozen=True, kw_only=True):
    """Fact `executor.unreachable`: no heartbeat for longer than a lease."""

    message: str


class ExecutorRecovered(Wire, frozen=True, kw_only=True):
    """Fact `executor.recovered`: a heartbeat again after `executor.unreachable`."""

    message: str


class ExecutorLeased(Wire, frozen=True, kw_only=True):
    """Fact `executor.leased`: it holds a run under this epoch; in one append with `run.placed`."""

    tenant: str
    run: str
    epoch: int
    backend: str
    resources: Resources


class ExecutorReleased(Wire, frozen=True, kw_only=True):
    """Fact `executor.released`: it holds the run no longer; in one append with what ended the lease."""

    tenant: str
    run: str
    epoch: int
    reason: str  # "finished", "lease-expired", "quarantined"


class ExecutorJournalAdvanced(Wire, frozen=True, kw_only=True):
    """Fact `executor.journal-advanced`: the journal is committed up to this record; one append with its evidence."""

    index: int
    digest: str  # "sha256:<hex>" of that record: what the next one names as its previous
    tenant: str  # of the run that the record is about
    run: str


class ExecutorEvidenceRejected(Wire, frozen=True, kw_only=True):
    """Fact `executor.evidence-rejected`: a report that does not verify; its digest is kept for people to look at."""

    code: str  # LINK, UNKNOWN_RUN, or of agentplane.evidence and the store: "evidence.signature", "store.too-large"
    message: str
    digest: str  # "sha256:<hex>" of the bytes that came
    size_bytes: int
    index: int | None = None  # what it claims to be, where that could be read
    tenant: str | None = None
    run: str | None = None
    envelope: dict[str, Any] | None = None  # kept only when its signature is good (unknown-run)
