"""The short way to place a batch in which every call is one event of a stream that is known. Pure.

What the general ledger (agentplane.store.ledger) does call by call and with a way back, this does in one pass, or not
at all. A repeated id is not looked for: the log's key finds it, and then the general way looks closer.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeGuard

import msgspec

from agentplane.events.model import StoredEvent, StreamId
from agentplane.store import rows
from agentplane.store.entry import Call, Single


class Placed(msgspec.Struct, frozen=True, gc=False):
    """A batch whose place is known."""

    outcomes: list[tuple[StoredEvent, ...]]  # as the calls
    encoded: list[bytes]  # parts of the rows, in order
    versions: dict[StreamId, int]  # of the streams that were appended to


def are_known(calls: Sequence[Call], versions: Mapping[StreamId, int]) -> TypeGuard[Sequence[Single]]:
    """Whether `place` applies: one event per call, of streams whose versions are known."""
    for call in calls:  # noqa: SIM110 - a third of the time of all(...)
        if not isinstance(call, Single) or call.append.stream not in versions:
            return False
    return True


def place(calls: Sequence[Single], head: int, recorded_at: datetime, versions: Mapping[StreamId, int]) -> Placed | None:
    """Where the calls stand if the log ends at `head`; None: one of them expects another version."""
    recorded_us = rows.microseconds(recorded_at)
    latest: dict[StreamId, int] = {}
    outcomes: list[tuple[StoredEvent, ...]] = []
    encoded: list[bytes] = []
    for sequence, call in enumerate(calls, head + 1):
        stream, expected = call.append.stream, call.append.expected_version
        version = latest[stream] if stream in latest else versions[stream]
        if expected is not None and expected != version:
            return None
        latest[stream] = version = version + 1
        event = call.prepared.event
        stored = StoredEvent(event=event, sequence=sequence, stream_version=version, recorded_at=recorded_at)
        outcomes.append((stored,))
        encoded += (rows.place(sequence, version, recorded_us), call.prepared.tail)
    return Placed(outcomes, encoded, latest)
