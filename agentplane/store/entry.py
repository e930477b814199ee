"""What the ways into the log hand on: an event that may be stored, a row of the log, and calls of `append`. Pure."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from agentplane.events.model import Append, Event, StoredEvent, StreamId


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An event that may be stored, with the bytes that will be."""

    event: Event
    data: bytes  # canonical JSON
    digest: bytes  # 32 bytes, of the body
    tail: bytes  # its row but for its place (agentplane.store.rows)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One row of the log."""

    stored: StoredEvent
    data: bytes
    digest: bytes
    tail: bytes = b""  # as in Prepared; a row that is stored already needs none


class Request(msgspec.Struct, frozen=True, gc=False):
    """One call of `append`: all of it is stored, or nothing."""

    appends: tuple[Append, ...]
    prepared: tuple[tuple[Prepared, ...], ...]  # as appends[i].events

    def whole(self) -> "Request":
        """As the other kinds of calls have it."""
        return self


class Single(msgspec.Struct, frozen=True, gc=False):
    """A call of one event, as most are."""

    append: Append
    prepared: Prepared

    def whole(self) -> Request:
        """The same call, as those of many events are."""
        return Request((self.append,), ((self.prepared,),))


Check = Callable[[StreamId, Event, datetime], Prepared]


class Unchecked(msgspec.Struct, frozen=True, gc=False):
    """A large call, to be checked when its turn comes: event by event, while the database takes those before."""

    appends: tuple[Append, ...]
    latest: datetime
    check: Check

    def whole(self) -> Request:
        """All of it, checked at once. Raises Refused as `agentplane.store.prepare.prepare`."""
        check, latest = self.check, self.latest
        return Request(
            self.appends, tuple([tuple([check(a.stream, event, latest) for event in a.events]) for a in self.appends])
        )


Call = Single | Request | Unchecked
