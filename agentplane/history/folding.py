"""How a resource was at a position, and what each event changed: the same folds that keep the read models. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from agentplane.events.model import StoredEvent
from agentplane.history.differences import Change, differences
from agentplane.projections.engine import Projection

# what every event moves, so it tells nothing about this one
_BOOKKEEPING: Final = frozenset({"timeline", "lastSequence", "firstSequence", "changedAt"})


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

    Raises:
        Refused: code `event.payload`: an event that cannot be read.
    """
    views: dict[tuple[str, ...], Any] = {}
    for stored in events:
        changes = {}
        for name, projection in projections.items():
            key = projection.key(stored)
            if key is None or key[-1] != stored.event.stream.name:  # not a view of this resource as a whole
                continue
            before = views.get((name, *key))
            after = views[name, *key] = projection.apply(before, projection.upcasters.current(stored))
            changes[name] = differences(_json(before), _json(after), ignore=_BOOKKEEPING)
        yield Step(stored=stored, changes=changes)


def _json(view: Any) -> Any:  # noqa: ANN401 - JSON
    return {} if view is None else msgspec.to_builtins(view)
