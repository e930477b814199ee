"""Everything in the log that hangs together with one event, asked for piece by piece.

Causes are looked up by id, whatever their correlation. Effects are those of the same correlation, and whatever names
one of them, or the event, as its cause: histories of elsewhere say causes more often than correlations.
"""

import uuid
from typing import Final

from agentplane.errors import NotFound, Refused
from agentplane.events.model import StoredEvent
from agentplane.history.causes import Causes, causes_of, missing_cause, unasked_effects
from agentplane.queries.client import QueryClient
from agentplane.queries.protocol import EventsList

_PAGE: Final = 1000
_AT_ONCE: Final = 500  # ids in a question, which has at most 64 KiB


async def causes(client: QueryClient, which: str) -> Causes:
    """The graph of an event, by its id or its sequence number.

    Raises:
        NotFound: `event.unknown`. Refused: `history.cycle`. Transient.
    """
    event = await client.event(which)
    together = EventsList(correlation=event.event.correlation_id, limit=_PAGE)
    known: dict[uuid.UUID, StoredEvent] = {stored.event.id: stored async for stored in client.all_events(together)}
    known[event.event.id] = event
    await _add_causes(client, event, known)
    await _add_effects(client, event, known)
    return causes_of(event, known.values())


async def _add_causes(client: QueryClient, event: StoredEvent, known: dict[uuid.UUID, StoredEvent]) -> None:
    while (cause := missing_cause(event, known.values())) is not None:
        try:
            known[cause] = await client.event(cause)
        except NotFound:
            return


async def _add_effects(client: QueryClient, event: StoredEvent, known: dict[uuid.UUID, StoredEvent]) -> None:
    asked: set[uuid.UUID] = set()
    while waiting := unasked_effects(event, known.values(), asked):
        for start in range(0, len(waiting), _AT_ONCE):
            wish = EventsList(causes=tuple(waiting[start : start + _AT_ONCE]), limit=_PAGE)
            try:
                known |= {stored.event.id: stored async for stored in client.all_events(wish)}
            except Refused as refused:
                if refused.code == "query.version":  # an older service knows correlations only
                    return
                raise
        asked.update(waiting)
