"""Folding a batch of events into views: the one code path of catch-up, live and rebuild. Pure.

A projection is a key and a fold: `key` says which view an event touches (None: none of this projection's), `apply`
what the event does to it. Batches of any size give the same views.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from agentplane.domains import fold as resources
from agentplane.domains.resource import Resource
from agentplane.errors import AgentplaneError
from agentplane.events.model import StoredEvent
from agentplane.events.origin import is_imported
from agentplane.events.upcasting import OURS, Upcasters
from agentplane.projections import evidence, executors, runs, streams
from agentplane.projections.evidence import EvidenceRow
from agentplane.projections.executors import ExecutorView
from agentplane.projections.run_view import RunView
from agentplane.projections.status import Poison
from agentplane.projections.streams import StreamView

Key = tuple[str, ...]


class Projection(NamedTuple):
    """A read model. `version` rises with every change of what `apply` yields: the views are then built anew.

    `apply` sees every event in today's form (agentplane.events.upcasting); a registry fills in the `upcasters`.
    `readable_from`: the oldest version whose rows mean the same to today's code, which shows them until its own are
    built. Fields that such rows lack have their defaults; rows that cannot be read as `type` are not shown at all.
    """

    name: str
    version: int
    type: type[msgspec.Struct]
    key: Callable[[StoredEvent], Key | None]
    apply: Callable[[Any, StoredEvent], Any]
    upcasters: Upcasters = OURS
    readable_from: int = 1


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch did: the views it changed, the last event that is in them, and what stopped it (None: nothing)."""

    changed: dict[Key, Any]
    position: int
    poison: Poison | None


RUNS: Final = Projection("runs", 1, RunView, runs.key, runs.apply)
EXECUTORS: Final = Projection("executors", 2, ExecutorView, executors.key, executors.apply)
EVIDENCE: Final = Projection("evidence", 2, EvidenceRow, evidence.key, evidence.apply)
RESOURCES: Final = Projection("resources", 1, Resource, resources.key, resources.apply)
STREAMS: Final = Projection("streams", 1, StreamView, streams.key, streams.apply)
PROJECTIONS: Final[dict[str, Projection]] = {
    each.name: each for each in (RUNS, EXECUTORS, EVIDENCE, RESOURCES, STREAMS)
}


def touched(projection: Projection, events: Sequence[StoredEvent]) -> tuple[Key, ...]:
    """The keys whose views a batch needs, each once, in order."""
    found = (_key(projection, stored) for stored in events)
    return tuple(dict.fromkeys(key for key in found if key is not None))


def _key(projection: Projection, stored: StoredEvent) -> Key | None:
    """The key, where it can be said; where not, `fold` stops before the event and says why."""
    try:
        return _checked_key(projection.key(stored))
    except Exception:  # noqa: BLE001 - a domain's own code
        return None


def passes_by(projection: Projection, events: Sequence[StoredEvent]) -> bool:
    """Whether a batch surely does nothing to a projection but move its position."""
    try:
        return all(projection.key(stored) is None for stored in events)
    except Exception:  # noqa: BLE001 - a domain's own code
        return False


def fold(projection: Projection, views: Mapping[Key, Any], events: Sequence[StoredEvent], position: int) -> Folded:
    """Apply events after `position` to the views they touch. Stops before the first event that cannot be applied.

    Whatever a projection does wrong stops that projection and no other: folds are domains' own code. Imported history
    of what only a control plane says is passed by where it cannot be applied: anybody may have made it up, and what
    one tenant brings must not stop what all tenants read.
    """
    changed: dict[Key, Any] = {}
    for stored in events:
        try:
            key = _checked_key(projection.key(stored))
            if key is not None:
                before = changed[key] if key in changed else views.get(key)
                after = projection.apply(before, projection.upcasters.current(stored))
                if after is not None:
                    changed[key] = _checked(projection, after)
        except Exception as exc:  # noqa: BLE001 - a domain's own code
            if not is_imported(stored.event.stream):
                return Folded(changed=changed, position=position, poison=_poison(stored, exc))
        position = stored.sequence
    return Folded(changed=changed, position=position, poison=None)


def _checked_key(key: Key | None) -> Key | None:
    if key is not None and "\0" in "".join(key):  # which raises TypeError for what is no text
        raise ValueError("a key with NUL in it, which no table can hold")
    return key


def _checked(projection: Projection, view: Any) -> Any:  # noqa: ANN401 - a struct of the projection's
    if not isinstance(view, projection.type):
        raise TypeError(f"apply yields a {type(view).__name__} instead of a {projection.type.__name__}")
    return view


def _poison(stored: StoredEvent, error: Exception) -> Poison:
    code = error.code if isinstance(error, AgentplaneError) else f"projection.{type(error).__name__}"
    return Poison(sequence=stored.sequence, event_id=str(stored.event.id), reason=f"{code}: {error}"[:500])
