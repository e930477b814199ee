"""How a resource was at a position, and what each event changed: the same folds that keep the read models. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.events.model import StoredEvent
from agentplane.events.origin import PREFIX, is_imported
from agentplane.history.differences import Change, differences
from agentplane.projections.engine import Projection

# what every event moves, or what a view is called: it tells nothing about this event
_BOOKKEEPING: Final = frozenset(
    {"timeline", "lastSequence", "firstSequence", "changedAt", "version", "lastEvent", "lastIntent", "stamps"}
    | {"tenant", "kind", "namespace", "name"}
)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One event and what it changed. `changes` by the name of the projection; without one: nobody folds the event."""

    stored: StoredEvent
    changes: dict[str, tuple[Change, ...]]


def folded(projection: Projection, view: Any, events: Iterable[StoredEvent]) -> Any:  # noqa: ANN401 - the projection's
    """The view after more events (view None: from nothing). Raises Refused (`event.payload`) as the projection does."""
    for stored in events:
        if projection.key(stored) is not None:
            view = projection.apply(view, projection.upcasters.current(stored))
    return view


def steps(projections: Mapping[str, Projection], events: Iterable[StoredEvent]) -> Iterator[Step]:
    """Each event of one resource in order with what it changed in the resource's views.

    Imported history is folded as it was where it happened; it never mixes with ours.

    Raises:
        Refused: code `event.payload`: an event that cannot be read.
    """
    views: dict[tuple[str, ...], Any] = {}
    for stored in events:
        there = _where_it_happened(stored)
        changes = {}
        for name, projection in projections.items():
            key = projection.key(there)
            if key is None or key[-1] != there.event.stream.name:  # not a view of this resource as a whole
                continue
            place = (name, stored.event.stream.namespace, *key)
            before = views.get(place)
            after = views[place] = projection.apply(before, projection.upcasters.current(there))
            changes[name] = differences(_json(before), _json(after), ignore=_BOOKKEEPING)
        yield Step(stored=stored, changes=changes)


def _where_it_happened(stored: StoredEvent) -> StoredEvent:
    stream = stored.event.stream
    if not is_imported(stream):
        return stored
    own = replace(stream, namespace=stream.namespace.removeprefix(PREFIX))
    return replace(stored, event=replace(stored.event, stream=own))


def _json(view: Any) -> Any:  # noqa: ANN401 - JSON
    return {} if view is None else msgspec.to_builtins(view)
