"""Intents about runs. The intent's id is the idempotency key: publishing it twice is wanting it once. Pure."""

import uuid
from datetime import datetime

from agentplane.events.model import Event, StreamId
from agentplane.ids import run_id
from agentplane.intents.asking import intent
from agentplane.runs.model import CancelRequested, RunRequested

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
    return intent(intent_id, run_stream(tenant, run), REQUESTED, wish, actor=actor, now=now)


def request_cancel(intent_id: uuid.UUID, *, tenant: str, run: str, actor: str, now: datetime, reason: str) -> Event:
    """The intent `run.cancel-requested`."""
    wish = CancelRequested(reason=reason)
    return intent(intent_id, run_stream(tenant, run), CANCEL_REQUESTED, wish, actor=actor, now=now)
