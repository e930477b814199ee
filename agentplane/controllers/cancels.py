"""Cancellation: a run that nobody has taken ends at once, one that is held ends by its executor's word.

A held run is named among the cancellations of every heartbeat's answer until its executor reports how it ended; when
the executor is gone, the lease's expiry ends it (controllers.leases). An executor that was leased a run but has not
taken it will report nothing: its next heartbeat says so, and ends the run. Pure.
"""

from datetime import datetime

from agentplane.controllers import endings
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft
from agentplane.controllers.records import RunKey
from agentplane.controllers.state import ControlState
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event
from agentplane.intents.runs import run_stream
from agentplane.runs import facts
from agentplane.runs.model import CancelRequested, RunSuperseded
from agentplane.runs.protocol import ActiveRun, HeartbeatRequest


def decide(state: ControlState, intent: Event, now: datetime) -> Decision:
    """What a wish to cancel leads to. A run that has ended, or whose end was asked for before, stays as it is.

    Raises:
        Refused: codes `run.unknown`, `event.payload`.
    """
    wish = payload(intent, CancelRequested)
    run = state.run(RunKey(intent.stream.tenant, intent.stream.name))
    if run is None:
        raise Refused("there is no such run to cancel", code="run.unknown")
    if run.ended or run.cancel is not None:
        return NOTHING
    draft = Draft("cancels", intent.id, correlation_id=run.correlation_id, causation_id=intent.id, now=now)
    draft.take(intent, run.version)
    if run.lease is None:
        fact = RunSuperseded(reason=wish.reason, by=intent.actor)
        draft.add(intent.stream, run.version, facts.SUPERSEDED, fact)
        return draft.decision()
    return draft.decision(wake_executors=(run.lease.executor,))


def untaken(state: ControlState, request: HeartbeatRequest) -> tuple[RunKey, ...]:
    """The cancelled runs that an executor is leased and, by its heartbeat, does not have."""
    has = set(request.active)
    leases = state.executor(request.executor).leases
    missing = [lease for lease in leases if ActiveRun(run=lease.run, tenant=lease.tenant, epoch=lease.epoch) not in has]
    keys = [RunKey(lease.tenant, lease.run) for lease in missing]
    return tuple(key for key in keys if (run := state.run(key)) is not None and run.cancel is not None)


def end_untaken(state: ControlState, key: RunKey, request: HeartbeatRequest, now: datetime) -> Decision:
    """End a cancelled run that its executor does not have.

    From the cancellation on no answer assigns it, so it cannot be taken any more, unless an older answer is still
    being read: what comes of that is fenced, as with every epoch that has ended.
    """
    run = state.run(key)
    if run is None or run.ended or run.cancel is None or run.lease is None or key not in untaken(state, request):
        return NOTHING
    if run.lease.executor != request.executor:
        return NOTHING
    draft = Draft("cancels", run.last_event, correlation_id=run.correlation_id, causation_id=run.last_event, now=now)
    draft.add(run_stream(*key), run.version, facts.SUPERSEDED, endings.superseded(run))
    endings.release(draft, run, run.lease, state.executor(request.executor), "cancelled")
    return draft.decision()
