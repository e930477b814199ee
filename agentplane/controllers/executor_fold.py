"""Folding an executor's stream: (record, event) -> record. Pure."""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from agentplane.controllers.records import ExecutorRecord
from agentplane.enrolment import fold as enrolment
from agentplane.enrolment import spans
from agentplane.events.codec import payload
from agentplane.events.model import Event, StoredEvent
from agentplane.runs import executors
from agentplane.runs.executors import (
    LINK,
    ExecutorEvidenceRejected,
    ExecutorJournalAdvanced,
    ExecutorLeased,
    ExecutorRegistered,
    ExecutorReleased,
    ExecutorReported,
)

Step = Callable[[ExecutorRecord, Event], ExecutorRecord]


def apply_to_executor(record: ExecutorRecord | None, stored: StoredEvent) -> ExecutorRecord:
    """The record after one more event of its stream.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    known = record or ExecutorRecord(name=stored.event.stream.name)
    step = _STEPS.get(stored.event.type)
    changed = step(known, stored.event) if step else known
    if enrolment.applies(stored.event):
        after = enrolment.apply(known.enrolment, stored.event)
        events = spans.after(known.key_events, known.enrolment, after, stored.sequence)
        changed = replace(known, enrolment=after, key_events=events)
    return replace(changed, version=stored.stream_version, last_event=stored.event.id)


def _registered(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    said = payload(event, ExecutorRegistered)
    return replace(record, key_id=said.key_id, boot_id=said.boot_id, facts=said.facts, reachable=True, fenced=None)


def _reported(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    said = payload(event, ExecutorReported)
    return replace(record, boot_id=said.boot_id, facts=said.facts)


def _unreachable(record: ExecutorRecord, _event: Event) -> ExecutorRecord:
    return replace(record, reachable=False)


def _recovered(record: ExecutorRecord, _event: Event) -> ExecutorRecord:
    return replace(record, reachable=True)


def _leased(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    return replace(record, leases=(*record.leases, payload(event, ExecutorLeased)))


def _released(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    gone = payload(event, ExecutorReleased)
    kept = tuple(
        lease
        for lease in record.leases
        if (lease.tenant, lease.run, lease.epoch) != (gone.tenant, gone.run, gone.epoch)
    )
    return replace(record, leases=kept)


def _journal_advanced(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    said = payload(event, ExecutorJournalAdvanced)
    return replace(record, journal_index=said.index, journal_digest=said.digest, fenced=None)


def _evidence_rejected(record: ExecutorRecord, event: Event) -> ExecutorRecord:
    said = payload(event, ExecutorEvidenceRejected)
    # Only what it signed itself counts against it: others may have written the rest.
    return replace(record, fenced=said.message) if said.code == LINK else record


_STEPS: Final[dict[str, Step]] = {
    executors.REGISTERED: _registered,
    executors.REPORTED: _reported,
    executors.UNREACHABLE: _unreachable,
    executors.RECOVERED: _recovered,
    executors.LEASED: _leased,
    executors.RELEASED: _released,
    executors.JOURNAL_ADVANCED: _journal_advanced,
    executors.EVIDENCE_REJECTED: _evidence_rejected,
}
