"""Where events go: sequence, stream version, duplicate or conflict. Pure; both stores decide through it.

A ledger holds what is known of the log while the append lock is held, takes calls one after the other, and either
places a whole call or leaves no trace of it. So one call's conflict never costs the others of its batch.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from agentplane.errors import Conflict
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store.prepare import Prepared, Request


class Entry(msgspec.Struct, frozen=True):
    """One row of the log."""

    stored: StoredEvent
    data: bytes
    digest: bytes


class Ledger:
    """The end of the log, extended call by call."""

    def __init__(
        self, *, head: int, recorded_at: datetime, versions: Mapping[StreamId, int], known: Mapping[EventId, Entry]
    ) -> None:
        """`versions` holds every stream of the batch; `known` what is stored of its ids, as far as looked up."""
        self.head = head
        self.versions = dict(versions)
        self.entries: list[Entry] = []  # to be written, in order
        self._recorded_at = recorded_at
        self._known = dict(known)

    def place(self, request: Request) -> tuple[StoredEvent, ...]:
        """Where each event of a call stands or will stand, in the call's order.

        Raises:
            Conflict: `store.version` or `store.duplicate-id`; the ledger is as before.
        """
        mark, head, versions = (
            len(self.entries),
            self.head,
            {a.stream: self.versions[a.stream] for a in request.appends},
        )
        try:
            placed = [
                stored
                for append, events in zip(request.appends, request.prepared, strict=True)
                for stored in self._place_append(append, events)
            ]
        except Conflict:
            for entry in self.entries[mark:]:
                del self._known[entry.stored.event.id]
            del self.entries[mark:]
            self.head = head
            self.versions.update(versions)
            raise
        return tuple(placed)

    def _place_append(self, append: Append, events: tuple[Prepared, ...]) -> list[StoredEvent]:
        found = [self._duplicate(prepared) for prepared in events]
        repeated = sum(entry is not None for entry in found)
        if not (events and repeated == len(events)):
            self._check_version(append, repeated)
        return [
            self._entry(append.stream, prepared) if entry is None else entry.stored
            for prepared, entry in zip(events, found, strict=True)
        ]

    def _check_version(self, append: Append, repeated: int) -> None:
        """What an interrupted call stored already counts as expected."""
        version = self.versions[append.stream]
        if append.expected_version is not None and append.expected_version + repeated != version:
            raise Conflict(
                f"stream {append.stream} is at version {version}, expected {append.expected_version}",
                code="store.version",
                hint="read the stream again and decide again",
            )

    def _duplicate(self, prepared: Prepared) -> Entry | None:
        entry = self._known.get(prepared.event.id)
        if entry is not None and entry.digest != prepared.digest:
            raise Conflict(
                f"event {prepared.event.id} is stored with another body: "
                f"stored sha256:{entry.digest.hex()}, given sha256:{prepared.digest.hex()}",
                code="store.duplicate-id",
                hint="an id names one event for ever; a different event needs an id of its own",
            )
        return entry

    def _entry(self, stream: StreamId, prepared: Prepared) -> StoredEvent:
        twin = self._duplicate(prepared)  # the same event twice within one call
        if twin is not None:
            return twin.stored
        self.head += 1
        version = self.versions[stream] = self.versions[stream] + 1
        stored = StoredEvent(
            event=prepared.event, sequence=self.head, stream_version=version, recorded_at=self._recorded_at
        )
        entry = Entry(stored, prepared.data, prepared.digest)
        self.entries.append(entry)
        self._known[prepared.event.id] = entry
        return stored
