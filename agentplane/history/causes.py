"""What caused what: a graph over events, from intents to effects. Pure.

An edge leads from a cause to its effect (`causation_id`). A cause that is not in the log, or is another tenant's, is
dangling. An event that is its own ancestor is no history, and refused.
"""

import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from agentplane.errors import Refused
from agentplane.events.model import StoredEvent

_SHOWN: Final = 8


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """Events that hang together with one. `effects`: ids in order of sequence; only causes that are here have any."""

    of: uuid.UUID
    events: dict[uuid.UUID, StoredEvent]
    effects: dict[uuid.UUID, tuple[uuid.UUID, ...]]
    roots: tuple[uuid.UUID, ...]  # without a cause here, in order of sequence
    dangling: dict[uuid.UUID, uuid.UUID]  # an event's id -> its cause that is missing


def causes_of(event: StoredEvent, known: Iterable[StoredEvent]) -> Causes:
    """The graph of all that led to an event and all that followed from it, out of the events that are known.

    Raises:
        Refused: code `history.cycle`: the causes go round in a circle; its events are named.
    """
    events: dict[uuid.UUID, StoredEvent] = {each.event.id: each for each in (*known, event)}
    _refuse_cycles(events)
    effects: dict[uuid.UUID, list[uuid.UUID]] = {}
    for each in sorted(events.values(), key=lambda stored: stored.sequence):
        if (cause := each.event.causation_id) is not None and cause in events:
            effects.setdefault(cause, []).append(each.event.id)
    ancestors = list(_ancestors(event, events))
    kept = _reached(ancestors, event.event.id, effects)
    dangling: dict[uuid.UUID, uuid.UUID] = {
        id_: cause for id_ in kept if (cause := events[id_].event.causation_id) is not None and cause not in events
    }
    ordered = sorted(kept, key=lambda id_: events[id_].sequence)
    return Causes(
        of=event.event.id,
        events={id_: events[id_] for id_ in ordered},
        effects={id_: tuple(each for each in effects.get(id_, ()) if each in kept) for id_ in ordered},
        roots=tuple(id_ for id_ in ordered if events[id_].event.causation_id not in kept),
        dangling=dangling,
    )


def unasked_effects(event: StoredEvent, known: Iterable[StoredEvent], asked: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """An event and all that is known to follow from it, without those of which it was `asked` what they caused."""
    effects: dict[uuid.UUID, list[uuid.UUID]] = {}
    for each in known:
        if each.event.causation_id is not None:
            effects.setdefault(each.event.causation_id, []).append(each.event.id)
    return [id_ for id_ in _following(event.event.id, effects) if id_ not in asked]


def missing_cause(event: StoredEvent, known: Iterable[StoredEvent]) -> uuid.UUID | None:
    """The first cause on the way from an event to its intent that is not known; None: the way is whole."""
    events: dict[uuid.UUID, StoredEvent] = {each.event.id: each for each in known}
    last = next(_ancestors(event, {**events, event.event.id: event}))
    cause = last.event.causation_id
    return None if cause is None or cause in events else cause


def _ancestors(event: StoredEvent, events: dict[uuid.UUID, StoredEvent]) -> Iterator[StoredEvent]:
    """From the oldest known ancestor to the event itself. Raises Refused `history.cycle`."""
    chain = [event]
    seen: set[uuid.UUID] = {event.event.id}
    while (cause := chain[-1].event.causation_id) is not None and cause in events:
        if cause in seen:
            raise _cycle([each.event.id for each in chain])
        seen.add(cause)
        chain.append(events[cause])
    return reversed(chain)


def _reached(ancestors: list[StoredEvent], of: uuid.UUID, effects: dict[uuid.UUID, list[uuid.UUID]]) -> set[uuid.UUID]:
    return {each.event.id for each in ancestors} | set(_following(of, effects))


def _following(of: uuid.UUID, effects: dict[uuid.UUID, list[uuid.UUID]]) -> dict[uuid.UUID, None]:
    """An event and all that followed from it; each once, also where causes go round in a circle."""
    found: dict[uuid.UUID, None] = {of: None}
    waiting = [of]
    while waiting:
        for each in effects.get(waiting.pop(), []):
            if each not in found:
                found[each] = None
                waiting.append(each)
    return found


def _refuse_cycles(events: dict[uuid.UUID, StoredEvent]) -> None:
    clear: set[uuid.UUID] = set()
    for start in events:
        chain: dict[uuid.UUID, None] = {}
        here: uuid.UUID | None = start
        while here is not None and here in events and here not in clear:
            if here in chain:
                ids = list(chain)
                raise _cycle(ids[ids.index(here) :])
            chain[here] = None
            here = events[here].event.causation_id
        clear.update(chain)


def _cycle(ids: list[uuid.UUID]) -> Refused:
    listed = " → ".join(str(each) for each in ids[:_SHOWN]) + (" → …" if len(ids) > _SHOWN else "")
    return Refused(
        f"{len(ids)} events cause each other in a circle: {listed}",
        code="history.cycle",
        hint="an importer wrote wrong causes; `agentplane events show ID` shows each",
    )
