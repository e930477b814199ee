"""Where events go: sequence, stream version, duplicate or conflict. Pure; both stores decide through it.

A ledger holds what is known of the log while the append lock is held, takes calls one after the other, and either
places a whole call or leaves no trace of it. So one call's conflict never costs the others of its batch.
"""

from collections.abc import Mapping
from datetime import datetime

from agentplane.errors import Conflict
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store.entry import Entry, Prepared, Request


class Ledger:
    """The end of the log, extended call by call."""

    def __init__(
        self, *, head: int, recorded_at: datetime, versions: Mapping[StreamId, int], known: Mapping[EventId, Entry]
    ) -> None:
        """`versions` holds every stream of the batch; `known` what is stored of its ids, as far as looked up."""
        self.head = head
        self.versions = dict(versions)
        self.entries: list[Entry] = []  # to be written, in order
        self.recorded_at = recorded_at
        self._known = dict(known)

    def place(self, request: Request) -> tuple[StoredEvent, ...]:
        """Where each event of a call stands or will stand, in the call's order.

        Raises:
            Conflict: `store.version` or `store.duplicate-id`; the ledger is as before.
        """
        mark = len(self.entries)
        placed: list[StoredEvent] = []
        try:
            for append, events in zip(request.appends, request.prepared, strict=True):
                self._place_append(append, events, placed)
        except Conflict:
            self._undo(mark)
            raise
        return tuple(placed)

    def expect(self, append: Append, repeated: int = 0) -> None:
        """Hold an append against its stream's version; what an interrupted call stored already counts as expected.

        Raises:
            Conflict: `store.version`.
        """
        version = self.versions[append.stream]
        if append.expected_version is not None and append.expected_version + repeated != version:
            raise Conflict(
                f"stream {append.stream} is at version {version}, expected {append.expected_version}",
                code="store.version",
                hint="read the stream again and decide again",
            )

    def enter(self, stream: StreamId, prepared: Prepared) -> StoredEvent:
        """The event at the end of the log, or where it is already: before, or earlier in the same call.

        Raises:
            Conflict: `store.duplicate-id`.
        """
        version = self.versions[stream] + 1
        stored = StoredEvent(
            event=prepared.event, sequence=self.head + 1, stream_version=version, recorded_at=self.recorded_at
        )
        entry = Entry(stored, prepared.data, prepared.digest, prepared.tail)
        first = self._known.setdefault(prepared.event.id, entry)
        if first is not entry:
            _check_same(prepared, first)
            return first.stored
        self.head += 1
        self.versions[stream] = version
        self.entries.append(entry)
        return stored

    def take(self) -> list[Entry]:
        """The rows since the last time this was asked; a call that is placed in parts cannot be undone."""
        taken, self.entries = self.entries, []
        return taken

    def _undo(self, mark: int) -> None:
        for entry in reversed(self.entries[mark:]):
            stored = entry.stored
            del self._known[stored.event.id]
            self.versions[stored.event.stream] = stored.stream_version - 1
            self.head = stored.sequence - 1
        del self.entries[mark:]

    def _place_append(self, append: Append, events: tuple[Prepared, ...], placed: list[StoredEvent]) -> None:
        repeated = 0
        for prepared in events:
            entry = self._known.get(prepared.event.id)
            if entry is not None:
                _check_same(prepared, entry)
                repeated += 1
        if repeated == 0 or repeated < len(events):
            self.expect(append, repeated)
        placed.extend([self.enter(append.stream, prepared) for prepared in events])


def _check_same(prepared: Prepared, entry: Entry) -> None:
    if entry.digest != prepared.digest:
        raise Conflict(
            f"event {prepared.event.id} is stored with another body: "
            f"stored sha256:{entry.digest.hex()}, given sha256:{prepared.digest.hex()}",
            code="store.duplicate-id",
            hint="an id names one event for ever; a different event needs an id of its own",
        )
