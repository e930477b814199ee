"""Cancellation: a run that nobody holds ends at once, one that is held ends by its executor's word.

A held run is named among the cancellations of every heartbeat's answer until its executor reports how it ended; when
the executor is gone, the lease's expiry ends it (controllers.leases). Pure.
"""

from datetime import datetime

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft
from agentplane.controllers.records import RunKey
from agentplane.controllers.state import ControlState
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event
from agentplane.runs import facts
from agentplane.runs.model import CancelRequested, RunSuperseded


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
