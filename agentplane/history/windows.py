"""A span of events' own times: when they happened, by their sources' clocks. Pure.

Not to be confused with places in the log, which are about when events were recorded.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from agentplane.history.places import Place

_CLOCKS_DIFFER: Final = timedelta(hours=1)  # far more than an event may be ahead of the store's clock
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From `since` to `until`, both inside and aware; None: open."""

    since: datetime | None = None
    until: datetime | None = None

    def has(self, moment: datetime) -> bool:
        """Whether a moment is inside."""
        return (self.since is None or moment >= self.since) and (self.until is None or moment <= self.until)


def where_to_look(since: Place | None, until: Place | None) -> tuple[Place | None, Place | None, Window]:
    """Where in the log to look, and for what, where a time means when something happened and a sequence a place.

    What happened since a time was recorded after it, or a little before, where clocks differ; what happened up to a
    time may have been recorded whenever it was imported.
    """
    window = Window(since=since.time if since else None, until=until.time if until else None)
    if window.since is not None:
        since = Place(time=max(window.since - _CLOCKS_DIFFER, _EARLIEST) if window.since > _EARLIEST else _EARLIEST)
    return since, until if window.until is None else None, window
