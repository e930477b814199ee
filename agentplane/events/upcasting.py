"""Events of older versions, read as today's. Pure; what is stored is never rewritten.

A type's version rises when a reader of the older form would misread the newer one. Whoever raises it adds one step,
from the version before to the next; a stored event goes up step by step each time it is folded or shown to a
controller. A field that older readers may overlook needs no version: facts are read tolerantly (events.codec).

An event that a newer control plane wrote is not understood here, so nobody guesses: `Upcasters.current` refuses it
with `event.newer`, and each reader has one way to go on. (What people recorded or imported is nobody's upgrade to wait
for: whatever version it claims, it is read as it is.)

| reader | what it does |
|---|---|
| the log itself: list, show, tail, export | shows it as it is stored |
| a projection | waits before it, says so in its status, and goes on when a program that knows it comes |
| control's state | counts it and decides nothing more about that stream; a newer control beside it does |
| a controller of a domain | it is kept as a dead letter, which is shown again once the version is known |
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.errors import Refused
from agentplane.events.model import Event, StoredEvent
from agentplane.events.origin import is_imported

NEWER: Final = "event.newer"
OWN_TYPES: Final = ("resource.", "controller.", "run.", "executor.", "intent.", "rules.")  # no domain writes these
_PARTS: Final = ("controller:", "executor:", "system:")

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of event whose form has changed. `upcasts[0]` makes version 2 of version 1's data, and so on."""

    name: str  # "ticket.assigned"
    upcasts: tuple[Upcast, ...] = ()

    @property
    def version(self) -> int:
        """The version that is written today."""
        return len(self.upcasts) + 1


class Upcasters:
    """All types whose version is greater than 1; every other type has the version 1."""

    def __init__(self, types: Iterable[EventType] = (), *, only: tuple[str, ...] = ("",)) -> None:
        """`only`: beginnings of the types that are looked into at all; the others are passed on.

        Raises:
            Refused: code `event.declared-twice`.
        """
        self._only = only
        self._types: dict[str, EventType] = {}
        for each in types:
            if each.name in self._types:
                raise Refused(f"the event type {each.name[:63]!r} is declared twice", code="event.declared-twice")
            self._types[each.name] = each

    @property
    def types(self) -> tuple[EventType, ...]:
        """All that are declared."""
        return tuple(self._types.values())

    def version(self, type_: str) -> int:
        """The version in which events of a type are written today."""
        known = self._types.get(type_)
        return known.version if known else 1

    def current(self, stored: StoredEvent) -> StoredEvent:
        """The event in today's form; the very same where it has that form already.

        Raises:
            Refused: code `event.newer`: a version that is not known yet. Code `event.upcast`: a step failed at it.
        """
        event = stored.event
        known = self._types.get(event.type)
        version = known.version if known else 1
        if event.type_version > version:
            if not (event.type.startswith(self._only) and _is_ours(event)):
                return stored
            raise Refused(
                f"{event.type} has version {event.type_version}, known here up to {version}",
                code=NEWER,
                where=f"event {event.id}",
                hint="a newer agentplane, or a newer domain, wrote it: upgrade this one",
            )
        if known is None or event.type_version == version:
            return stored
        data = _upcast(event, known.upcasts[event.type_version - 1 :])
        return replace(stored, event=replace(event, data=data, type_version=version))


def _is_ours(event: Event) -> bool:
    """Whether a control plane of this installation wrote it, and not a person or an import."""
    return event.actor.startswith(_PARTS) and not is_imported(event.stream)


def _upcast(event: Event, steps: tuple[Upcast, ...]) -> dict[str, Any]:
    data = event.data
    for step in steps:
        try:
            data = step(dict(data))
        except Exception as exc:
            raise Refused(
                f"{event.type} of version {event.type_version} cannot be read as a newer one: {type(exc).__name__}",
                code="event.upcast",
                where=f"event {event.id}",
            ) from exc
    return data


# of the events that agentplane itself writes, whose folds look into no others: all of them have version 1 so far
OURS: Final = Upcasters(only=OWN_TYPES)
