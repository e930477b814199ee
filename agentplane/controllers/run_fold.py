"""Folding a run's stream: (record, event) -> record. Pure; the only place that says what a fact does to a run."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec.structs import replace

from agentplane.canonical import digest_bytes
from agentplane.controllers.records import Cancel, Lease, RunKey, RunRecord
from agentplane.events.codec import payload
from agentplane.events.digest import encode_data
from agentplane.events.model import Event, StoredEvent
from agentplane.evidence.journal import advance, control_journal
from agentplane.intents import runs as intents
from agentplane.runs import facts
from agentplane.runs.model import (
    CancelRequested,
    LeaseExpired,
    RunCreated,
    RunFinished,
    RunPlaced,
    RunStarted,
    RunWaiting,
)
from agentplane.runs.states import Outcome, RunState

Step = Callable[[RunRecord, Event], RunRecord]


def fold_run(events: Iterable[StoredEvent]) -> RunRecord | None:
    """A run with everything that was ever said of it; None for no events. Replays read their original with it."""
    record: RunRecord | None = None
    for stored in events:
        record = apply_to_run(record, stored)
    return record


def apply_to_run(record: RunRecord | None, stored: StoredEvent) -> RunRecord:
    """The record after one more event of its stream.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    event = stored.event
    known = record or _first(stored)
    step = _STEPS.get(event.type)
    changed = step(known, event) if step else known
    return replace(changed, version=stored.stream_version, last_event=event.id)


def slim(record: RunRecord) -> RunRecord:
    """What is kept in memory of a run that has ended: enough to place late evidence."""
    return replace(record, created=None, finished=None, started=None, waiting=None, cancel=None)


def _first(stored: StoredEvent) -> RunRecord:
    event = stored.event
    key = RunKey(event.stream.tenant, event.stream.name)
    return RunRecord(
        key=key,
        version=0,
        first_event=event.id,
        last_event=event.id,
        sequence=stored.sequence,
        correlation_id=event.correlation_id,
        state=RunState.CREATED,
        control_head=control_journal(*key),
    )


def _created(record: RunRecord, event: Event) -> RunRecord:
    created = payload(event, RunCreated)
    return replace(_signed(record, created.validation), created=created, state=RunState.CREATED)


def _refused(record: RunRecord, _event: Event) -> RunRecord:
    return replace(record, state=RunState.FAILED)


def _queued(record: RunRecord, _event: Event) -> RunRecord:
    return replace(record, state=RunState.QUEUED)


def _waiting(record: RunRecord, event: Event) -> RunRecord:
    waiting = payload(event, RunWaiting)
    return replace(record, state=RunState(waiting.state), waiting=waiting)


def _placed(record: RunRecord, event: Event) -> RunRecord:
    placed = payload(event, RunPlaced)
    lease = Lease(
        executor=placed.executor,
        epoch=placed.epoch,
        backend=placed.backend,
        lease_seconds=placed.lease_seconds,
        decision=placed.decision,
        placed_at=event.time,
    )
    return replace(
        _signed(record, placed.decision),
        state=RunState.LEASED,
        lease=lease,
        epoch=placed.epoch,
        holder=placed.executor,
        attempted_on=placed.executor,
        waiting=None,
        started=None,
    )


def _started(record: RunRecord, event: Event) -> RunRecord:
    started = payload(event, RunStarted)
    lease = replace(record.lease, started_at=event.time) if record.lease else None
    return replace(record, state=RunState.RUNNING, started=started, lease=lease)


def _finished(record: RunRecord, event: Event) -> RunRecord:
    finished = payload(event, RunFinished)
    state = RunState.SUCCEEDED if finished.succeeded else RunState.FAILED
    if finished.outcome is Outcome.CANCELLED:
        state = RunState.SUPERSEDED
    return replace(record, state=state, finished=finished, lease=None)


def _lease_expired(record: RunRecord, event: Event) -> RunRecord:
    payload(event, LeaseExpired)
    return replace(record, lease=None, holder=None, started=None)


def _requeued(record: RunRecord, _event: Event) -> RunRecord:
    lost_on = (*record.lost_on, record.attempted_on) if record.attempted_on else record.lost_on
    return replace(
        record, state=RunState.REQUEUED, lease=None, holder=None, started=None, waiting=None, lost_on=lost_on
    )


def _superseded(record: RunRecord, _event: Event) -> RunRecord:
    return replace(record, state=RunState.SUPERSEDED, lease=None)


def _quarantined(record: RunRecord, _event: Event) -> RunRecord:
    return replace(record, state=RunState.QUARANTINED, lease=None)


def _cancel_requested(record: RunRecord, event: Event) -> RunRecord:
    if record.ended or record.cancel is not None:
        return record
    reason = payload(event, CancelRequested).reason
    return replace(record, cancel=Cancel(event_id=event.id, by=event.actor, reason=reason))


def _signed(record: RunRecord, envelope: dict[str, Any]) -> RunRecord:
    return replace(record, control_head=advance(record.control_head, digest_bytes(encode_data(envelope))))


_STEPS: Final[dict[str, Step]] = {
    intents.CANCEL_REQUESTED: _cancel_requested,
    facts.CREATED: _created,
    facts.REFUSED: _refused,
    facts.QUEUED: _queued,
    facts.WAITING: _waiting,
    facts.PLACED: _placed,
    facts.STARTED: _started,
    facts.FINISHED: _finished,
    facts.LEASE_EXPIRED: _lease_expired,
    facts.REQUEUED: _requeued,
    facts.SUPERSEDED: _superseded,
    facts.QUARANTINED: _quarantined,
}
