"""All resources as a prefix of the log has them: a part of control's state, and all of a dry run's. Pure."""

from collections.abc import Iterator
from datetime import datetime

from agentplane.domains import fold
from agentplane.domains.resource import Resource
from agentplane.events.model import StoredEvent, StreamId


class Resources:
    """A fold of the log, owned by one process; whoever applies events is the only one to change it."""

    def __init__(self) -> None:
        self._known: dict[StreamId, Resource] = {}
        self._due: dict[StreamId, dict[str, datetime]] = {}

    def apply(self, stored: StoredEvent) -> None:
        """Take the next event of the log; those of other streams change nothing."""
        stream = stored.event.stream
        after = fold.apply(self._known.get(stream), stored)
        if after is None:
            return
        self._known[stream] = after
        self._due.pop(stream, None)
        asked = {name: each.requeue_at for name, each in after.controllers.items() if each.requeue_at is not None}
        if after.exists and asked:
            self._due[stream] = asked

    def get(self, stream: StreamId) -> Resource | None:
        """What is known of a stream, also of one that was deleted; None: nothing was ever said on it."""
        return self._known.get(stream)

    def put(self, stream: StreamId, resource: Resource) -> None:
        """Begin with a resource as somebody else folded it; for dry runs."""
        self._known[stream] = resource

    def live(self) -> Iterator[Resource]:
        """All that exist."""
        return (each for each in tuple(self._known.values()) if each.exists)

    def due(self) -> tuple[tuple[datetime, StreamId, str], ...]:
        """(when, stream, controller) of everything that asked to be looked at again, earliest first."""
        return tuple(
            sorted((when, stream, name) for stream, asked in self._due.items() for name, when in asked.items())
        )
