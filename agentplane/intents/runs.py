"""Intents about runs. The intent's id is the idempotency key: publishing it twice is wanting it once. Pure."""

import uuid
from datetime import datetime

import msgspec

from agentplane.events.model import Event, Phase, StreamId
from agentplane.ids import EventId, run_id
from agentplane.runs.model import CancelRequested, RunRequested, Wire

REQUESTED = "run.requested"
CANCEL_REQUESTED = "run.cancel-requested"


def run_stream(tenant: str, run: str) -> StreamId:
    """The stream of a run's history."""
    return StreamId(tenant=tenant, kind="Run", namespace="default", name=run)


def request_run(
    intent_id: uuid.UUID, *, tenant: str, bundle_name: str, actor: str, now: datetime, wish: RunRequested
) -> Event:
    """The intent `run.requested`; the run's name follows from the intent's id."""
    run = run_id(bundle_name, intent_id)
    return _intent(intent_id, run_stream(tenant, run), REQUESTED, actor, now, wish)


def request_cancel(intent_id: uuid.UUID, *, tenant: str, run: str, actor: str, now: datetime, reason: str) -> Event:
    """The intent `run.cancel-requested`."""
    return _intent(intent_id, run_stream(tenant, run), CANCEL_REQUESTED, actor, now, CancelRequested(reason=reason))


def _intent(  # noqa: PLR0917 - private, one shape
    intent_id: uuid.UUID, stream: StreamId, type_: str, actor: str, now: datetime, payload: Wire
) -> Event:
    return Event(
        id=EventId(intent_id),
        stream=stream,
        phase=Phase.INTENT,
        type=type_,
        actor=actor,
        time=now,
        correlation_id=intent_id,
        data=msgspec.to_builtins(payload),
    )
