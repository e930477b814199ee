"""Folding an executor's facts into what people see of it: (view, event) -> view. Pure."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agentplane.enrolment import fold
from agentplane.enrolment.model import NONE, Enrolment
from agentplane.events.codec import payload
from agentplane.events.model import StoredEvent
from agentplane.runs import executors
from agentplane.runs.executors import ExecutorLeased
from agentplane.runs.model import Wire
from agentplane.runs.protocol import ExecutorFacts


class ExecutorView(Wire, frozen=True, kw_only=True):
    """An executor as of `last_sequence`. Executors belong to the platform: `tenant` is always `system`."""

    tenant: str
    name: str
    key_id: str | None = None  # None: never registered
    boot_id: str | None = None
    facts: ExecutorFacts | None = None
    reachable: bool = True
    message: str = ""
    leases: tuple[ExecutorLeased, ...] = ()
    journal_index: int = 0  # its journal is committed up to here
    journal_digest: str | None = None
    rejected: int = 0  # reports that did not verify
    last_rejection: str | None = None
    registered_at: datetime | None = None
    changed_at: datetime | None = None
    enrolment: Enrolment = NONE  # who let it in, which keys count, whether it drains or has left
    unknown_events: int = 0
    last_sequence: int = 0


Step = Callable[[ExecutorView, StoredEvent], ExecutorView]


def key(stored: StoredEvent) -> tuple[str, ...] | None:
    """(tenant, executor) of an event on an executor's stream of the platform; None for every other event."""
    stream = stored.event.stream
    ours = stream.kind == executors.KIND and stream.tenant == executors.SYSTEM_TENANT
    return (stream.tenant, stream.name) if ours else None


def apply(view: ExecutorView | None, stored: StoredEvent) -> ExecutorView | None:
    """The view after one more event; None while the stream is not an executor's.

    Raises:
        Refused: code `event.payload`: a known type whose data cannot be read.
    """
    if key(stored) is None:
        return view
    stream = stored.event.stream
    known = view or ExecutorView(tenant=stream.tenant, name=stream.name)
    step = _enrolled if fold.applies(stored.event) else _STEPS.get(stored.event.type, _unknown)
    return replace(step(known, stored), changed_at=stored.recorded_at, last_sequence=stored.sequence)


def _unknown(view: ExecutorView, _: StoredEvent) -> ExecutorView:
    return replace(view, unknown_events=view.unknown_events + 1)


def _enrolled(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    return replace(view, enrolment=fold.apply(view.enrolment, stored.event))


def _registered(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    said = payload(stored.event, executors.ExecutorRegistered)
    return replace(
        view,
        key_id=said.key_id,
        boot_id=said.boot_id,
        facts=said.facts,
        reachable=True,
        message="",
        registered_at=stored.recorded_at,
    )


def _reported(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    said = payload(stored.event, executors.ExecutorReported)
    return replace(view, boot_id=said.boot_id, facts=said.facts)


def _unreachable(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    return replace(view, reachable=False, message=payload(stored.event, executors.ExecutorUnreachable).message)


def _recovered(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    return replace(view, reachable=True, message=payload(stored.event, executors.ExecutorRecovered).message)


def _leased(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    return replace(view, leases=(*view.leases, payload(stored.event, ExecutorLeased)))


def _released(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    gone = payload(stored.event, executors.ExecutorReleased)
    identity = (gone.tenant, gone.run, gone.epoch)
    return replace(
        view, leases=tuple(lease for lease in view.leases if (lease.tenant, lease.run, lease.epoch) != identity)
    )


def _journal_advanced(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    said = payload(stored.event, executors.ExecutorJournalAdvanced)
    return replace(view, journal_index=said.index, journal_digest=said.digest)


def _rejected(view: ExecutorView, stored: StoredEvent) -> ExecutorView:
    said = payload(stored.event, executors.ExecutorEvidenceRejected)
    return replace(view, rejected=view.rejected + 1, last_rejection=f"{said.code}: {said.message}"[:300])


_STEPS: Final[dict[str, Step]] = {
    executors.REGISTERED: _registered,
    executors.REPORTED: _reported,
    executors.UNREACHABLE: _unreachable,
    executors.RECOVERED: _recovered,
    executors.LEASED: _leased,
    executors.RELEASED: _released,
    executors.JOURNAL_ADVANCED: _journal_advanced,
    executors.EVIDENCE_REJECTED: _rejected,
}
