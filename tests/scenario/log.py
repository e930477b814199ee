"""A log in memory that checks what the store checks."""

from datetime import datetime

from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store.entry import Entry
from agentplane.store.ledger import Ledger
from agentplane.store.prepare import prepare


class Log:
    """Takes decisions as the store does: all or nothing, at expected versions, an id once."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self._known: dict[EventId, Entry] = {}
        self._versions: dict[StreamId, int] = {}

    def append(self, appends: tuple[Append, ...], now: datetime) -> tuple[StoredEvent, ...]:
        """Raises Conflict, Refused."""
        request = prepare(appends, now).whole()
        ledger = Ledger(
            head=len(self.events),
            recorded_at=now,
            versions={append.stream: self._versions.get(append.stream, 0) for append in appends},
            known=self._known,
        )
        placed = ledger.place(request)
        self.events += [entry.stored for entry in ledger.entries]
        self._known |= {entry.stored.event.id: entry for entry in ledger.entries}
        self._versions |= ledger.versions
        return placed

    def stream(self, stream: StreamId) -> list[StoredEvent]:
        """One stream's events."""
        return [stored for stored in self.events if stored.event.stream == stream]
