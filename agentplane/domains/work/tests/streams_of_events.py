"""Stored events for tests, written in one line each."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from agentplane.domains.work.aliases import event_uuid
from agentplane.domains.work.streams import stream_of
from agentplane.events.model import Event, Phase, StoredEvent
from agentplane.projections.engine import Projection, fold

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
TENANT = "acme"


def happened(type_: str, after_s: float = 0, *, actor: str = "mayor", id_: str | None = None, **data: Any) -> Event:
    """A fact of the families, `after_s` seconds after the beginning."""
    words = id_ or f"{type_}/{after_s}/{actor}/{sorted(data.items())}"
    return Event(
        id=event_uuid(TENANT, words),
        stream=stream_of(TENANT, type_, data, actor),
        phase=Phase.FACT,
        type=type_,
        actor=actor,
        time=START + timedelta(seconds=after_s),
        correlation_id=uuid.UUID(int=1),
        data=data,
    )


def stored(events: Iterable[Event]) -> tuple[StoredEvent, ...]:
    """The events as a log has them, in this order, each id once."""
    unique = {event.id: event for event in events}
    return tuple(
        StoredEvent(event=event, sequence=number, stream_version=number, recorded_at=START + timedelta(days=1))
        for number, event in enumerate(unique.values(), 1)
    )


def folded(projection: Projection, events: Sequence[Event]) -> dict[str, Any]:
    """All views by name, folded in one batch."""
    done = fold(projection, {}, stored(events), 0)
    assert done.poison is None, done.poison
    return {key[3]: view for key, view in done.changed.items()}


def row(view: msgspec.Struct) -> dict[str, Any]:
    """A view as a query answers it."""
    found = msgspec.json.decode(msgspec.json.encode(view))
    assert isinstance(found, dict)
    return found
