"""A projection of facts of the catalogue: a name for each event, a step for each type. Pure.

A fact whose data cannot be read is counted in the view (`unreadable`) and changes nothing else: one bad event of one
source must not stop everybody's read model.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from msgspec.structs import replace

from agentplane.domains.facts import decode
from agentplane.domains.work.catalogue import DATA
from agentplane.domains.work.projections.stamps import Stamped, later
from agentplane.domains.work.streams import NAMESPACE
from agentplane.events.model import Phase, StoredEvent
from agentplane.projections.engine import Key, Projection

V = TypeVar("V", bound=Stamped)
Step = Callable[[V, StoredEvent, Any], V]
Name = Callable[[StoredEvent], str | None]


def projection(  # noqa: PLR0917 - what a projection is made of
    name: str, version: int, view: type[V], kind: str, named: Name, steps: Mapping[str, Step[V]]
) -> Projection:
    """A read model over facts of the given types. `named`: the view that an event is about; None: none."""

    def key(stored: StoredEvent) -> Key | None:
        event = stored.event
        if event.phase is not Phase.FACT or event.type not in steps:
            return None
        found = named(stored)
        return (event.stream.tenant, kind, NAMESPACE, found) if found else None

    def apply(before: V | None, stored: StoredEvent) -> V | None:
        place = key(stored)
        if place is None:
            return before
        tenant, _, namespace, own = place
        known = before or view(tenant=tenant, kind=kind, namespace=namespace, name=own)
        event = stored.event
        try:
            data = decode(DATA[event.type], event.data) if event.type in DATA else event.data
            after = steps[event.type](known, stored, data)
        except (ValueError, TypeError, OverflowError, RecursionError):  # of what a source says, in any combination
            return replace(known, unreadable=known.unreadable + 1)
        return replace(after, updated_at=later(known.updated_at, event.time))

    return Projection(name, version, view, key, apply)


def field(name: str, *others: str) -> Name:
    """Named by the first of these fields of data that holds text."""
    names = (name, *others)

    def named(stored: StoredEvent) -> str | None:
        found = (stored.event.data.get(each) for each in names)
        return next((each for each in found if isinstance(each, str) and _is_name(each)), None)

    return named


def _is_name(text: str) -> bool:
    """As the names of streams are; a database has no text with NUL in it."""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable()


def agent(stored: StoredEvent) -> str | None:
    """Named by the field `agent`, else by who says so."""
    return field("agent")(stored) or stored.event.actor


MAX_NAME_CHARS = 253
