"""Stored events from lines, as `agentplane events export` writes them. Pure."""

from collections.abc import Iterable

from agentplane.checks.report import Poison
from agentplane.errors import Refused
from agentplane.events.cloudevents import decode_stored
from agentplane.events.model import StoredEvent


def read_lines(lines: Iterable[bytes]) -> tuple[list[StoredEvent], list[Poison]]:
    """The events in order of their sequence, each once, and every line that is none. A blank line says nothing."""
    events: dict[int, StoredEvent] = {}
    poison: list[Poison] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            stored = decode_stored(line)
        except Refused as refused:
            poison.append(
                Poison(sequence=None, line=number, controller=None, code=refused.code, reason=refused.message[:300])
            )
        else:
            events[stored.sequence] = stored
    return [events[sequence] for sequence in sorted(events)], poison
