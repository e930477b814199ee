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

    calls: Sequence[Single]
    head: int  # before them
    recorded_at: datetime
    numbers: list[int]  # each event's version of its stream, as the calls
    versions: dict[StreamId, int]  # of the streams that were appended to

    def encoded(self) -> bytes:
        """The rows, as one COPY."""
        recorded_us = rows.microseconds(self.recorded_at)
        parts: list[bytes] = []
        for sequence, (call, version) in enumerate(zip(self.calls, self.numbers, strict=True), self.head + 1):
            parts += (rows.place(sequence, version, recorded_us), call.prepared.tail)
        return rows.framed(parts)

    def outcomes(self) -> list[tuple[StoredEvent, ...]]:
        """What the callers are told, once it is true."""
        recorded_at = self.recorded_at
        return [
            (
                StoredEvent(
                    event=call.prepared.event, sequence=sequence, stream_version=version, recorded_at=recorded_at
                ),
            )
            for sequence, (call, version) in enumerate(zip(self.calls, self.numbers, strict=True), self.head + 1)
        ]


def are_known(calls: Sequence[Call], versions: Mapping[StreamId, int]) -> TypeGuard[Sequence[Single]]:
    """Whether `place` applies: one event per call, of streams whose versions are known."""
    for call in calls:  # noqa: SIM110 - a third of the time of all(...)
        if not isinstance(call, Single) or call.append.stream not in versions:
            return False
    return True


def place(calls: Sequence[Single], head: int, recorded_at: datetime, versions: Mapping[StreamId, int]) -> Placed | None:
    """Where the calls stand if the log ends at `head`; None: one of them expects another version."""
    latest: dict[StreamId, int] = {}
    numbers: list[int] = []
    for call in calls:
        stream, expected = call.append.stream, call.append.expected_version
        version = latest[stream] if stream in latest else versions[stream]
        if expected is not None and expected != version:
            return None
        latest[stream] = version = version + 1
        numbers.append(version)
    return Placed(calls, head, recorded_at, numbers, latest)
