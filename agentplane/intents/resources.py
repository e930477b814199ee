"""Intents about resources of any kind. The intent's id is the idempotency key. Pure."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from agentplane.domains.resource import APPLY_REQUESTED, DELETE_REQUESTED, ApplyRequested, DeleteRequested
from agentplane.events.model import Event, StreamId
from agentplane.intents.asking import intent


def request_apply(
    intent_id: uuid.UUID,
    *,
    stream: StreamId,
    api_version: str,
    spec: dict[str, Any],
    actor: str,
    now: datetime,
    labels: Mapping[str, str] | None = None,
    finalizers: tuple[str, ...] | None = None,
) -> Event:
    """The intent `resource.apply-requested`. `finalizers` None: they stay as they are."""
    wish = ApplyRequested(api_version=api_version, spec=spec, labels=dict(labels or {}), finalizers=finalizers)
    return intent(intent_id, stream, APPLY_REQUESTED, wish, actor=actor, now=now)


def request_delete(intent_id: uuid.UUID, *, stream: StreamId, actor: str, now: datetime, reason: str = "") -> Event:
    """The intent `resource.delete-requested`."""
    return intent(intent_id, stream, DELETE_REQUESTED, DeleteRequested(reason=reason), actor=actor, now=now)
