"""Events as lines of the mirror's files. Pure: the same events always give the same bytes.

Per tenant one file a day (`events/YYYY-MM-DD.jsonl`, the UTC day of `recorded_at`, whole events) and one feed
(`feed.jsonl`, small lines, everything since the beginning). Days never go back along the sequence, so a day that is
over is never written again.
"""

from collections.abc import Iterable
from datetime import UTC
from enum import StrEnum
from typing import Final

import orjson

from agentplane.clock import rfc3339
from agentplane.events.cloudevents import encode
from agentplane.events.model import StoredEvent
from agentplane.history.plain import encode_plain

FEED: Final = "feed.jsonl"


class Form(StrEnum):
    """How a whole event is written."""

    CLOUDEVENTS = "cloudevents"
    PLAIN = "plain"  # the flat form of VerMAS


def lines(events: Iterable[StoredEvent], form: Form) -> dict[str, bytearray]:
    """What to append to which file (path relative to the mirror), in the order of the events.

    Raises:
        Refused: code `event.data`: data without a canonical form, which no store has.
    """
    encoded = encode if form is Form.CLOUDEVENTS else encode_plain
    found: dict[str, bytearray] = {}
    for stored in events:
        tenant = stored.event.stream.tenant
        for path, line in ((day_file(stored), encoded(stored)), (f"{tenant}/{FEED}", feed_line(stored))):
            target = found.setdefault(path, bytearray())
            target += line
            target += b"\n"
    return found


def day_file(stored: StoredEvent) -> str:
    """The daily partition of an event: `<tenant>/events/YYYY-MM-DD.jsonl`."""
    day = stored.recorded_at.astimezone(UTC).date().isoformat()
    return f"{stored.event.stream.tenant}/events/{day}.jsonl"


def feed_line(stored: StoredEvent) -> bytes:
    """An event in a few words: enough to see what happens and to ask for the rest by `seq` or `id`."""
    event = stored.event
    return orjson.dumps(
        {
            "seq": stored.sequence,
            "time": rfc3339(stored.recorded_at),
            "phase": str(event.phase),
            "type": event.type,
            "kind": event.stream.kind,
            "namespace": event.stream.namespace,
            "name": event.stream.name,
            "actor": event.actor,
            "id": str(event.id),
            "correlation": str(event.correlation_id),
            "cause": None if event.causation_id is None else str(event.causation_id),
        }
    )
