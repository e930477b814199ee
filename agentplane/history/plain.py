"""Events in the plain form of VerMAS: one flat JSON object, for jq and for people. Pure.

`event_id, event_type, timestamp, actor, correlation_id, caused_by, data` and nothing else; what it leaves out (tenant,
resource, phase, sequence) is in the CloudEvents form.
"""

from typing import Any

import orjson

from agentplane.clock import rfc3339
from agentplane.events.digest import encode_data
from agentplane.events.model import StoredEvent


def plain(stored: StoredEvent) -> dict[str, Any]:
    """The plain form as data, in the order of the fields in VerMAS' documents."""
    event = stored.event
    return {
        "event_id": str(event.id),
        "event_type": event.type,
        "timestamp": rfc3339(event.time),
        "actor": event.actor,
        "correlation_id": str(event.correlation_id),
        "caused_by": None if event.causation_id is None else str(event.causation_id),
        "data": event.data,
    }


def encode_plain(stored: StoredEvent) -> bytes:
    """One line of JSON, without the newline. Raises Refused (`event.data`): data without a canonical form."""
    return orjson.dumps({**plain(stored), "data": orjson.Fragment(encode_data(stored.event.data))})
