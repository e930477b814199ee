"""One row per stream (a run, a resource, an executor): how much happened to it, when, and what was last. Pure.

The database folds this one itself, set-based over the log's typed columns (agentplane.store.tallying); `apply` says
what that has to yield.
"""

from datetime import datetime

from agentplane.events.model import Phase, StoredEvent
from agentplane.runs.model import Wire


class StreamView(Wire, frozen=True, kw_only=True):
    """A stream as of `last_sequence`."""

    tenant: str
    kind: str
    namespace: str
    name: str
    events: int = 0
    intents: int = 0
    facts: int = 0
    first_sequence: int
    last_sequence: int
    first_recorded_at: datetime
    last_recorded_at: datetime
    last_type: str
    last_actor: str


def key(stored: StoredEvent) -> tuple[str, ...]:
    """The stream itself."""
    stream = stored.event.stream
    return (stream.tenant, stream.kind, stream.namespace, stream.name)


def apply(view: StreamView | None, stored: StoredEvent) -> StreamView:
    """The stream after one more event."""
    event, stream = stored.event, stored.event.stream
    return StreamView(
        tenant=stream.tenant,
        kind=stream.kind,
        namespace=stream.namespace,
        name=stream.name,
        events=(view.events if view else 0) + 1,
        intents=(view.intents if view else 0) + (event.phase is Phase.INTENT),
        facts=(view.facts if view else 0) + (event.phase is Phase.FACT),
        first_sequence=view.first_sequence if view else stored.sequence,
        last_sequence=stored.sequence,
        first_recorded_at=view.first_recorded_at if view else stored.recorded_at,
        last_recorded_at=stored.recorded_at,
        last_type=event.type,
        last_actor=event.actor,
    )
