"""The relay: hands facts and internals from the log to the broker, at least once, in order. Intents stay inside.

The position moves only after the broker has acknowledged; consumers deduplicate by event id (`Nats-Msg-Id`). When the
stream turns out to be another one than last time, the broker has lost its storage, and the log is handed on again.
One relay works at a time; others stand by and take over when its connection ends.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final, Protocol

import structlog

from agentplane.bus.subjects import EVENTS, event_subject
from agentplane.errors import NotFound, Refused, Transient
from agentplane.events.cloudevents import encode
from agentplane.events.model import Phase, StoredEvent
from agentplane.store.outbox import Place

log = structlog.get_logger(__name__)

_LOOK_S: Final = 1.0  # between two looks at whose stream it is
_GATHER_S: Final = 0.01  # after a round: the broker syncs a batch as quickly as one event

Message = tuple[str, bytes, str]


class RelayBus(Protocol):
    """What the relay needs of the bus."""

    async def publish_batch(self, messages: Sequence[Message]) -> None:
        """(subject, data, message_id) each, durably, in order. Raises Transient; Refused for one it will never take."""
        ...

    async def stream_identity(self, stream: str) -> str:
        """Another string whenever the stream was made anew. Raises Transient, NotFound."""
        ...

    async def ensure_streams(self) -> None:
        """Make the streams that are gone. Raises Transient."""
        ...


class Log(Protocol):
    """What the relay needs of the store."""

    async def read(self, after: int, limit: int = 1000) -> tuple[StoredEvent, ...]:
        """Events with sequence > after, in order."""
        ...

    def wakeups(self) -> AsyncIterator[None]:
        """Yields when there may be something new."""
        ...


class Cursor(Protocol):
    """Where the relay stands; `agentplane.store.outbox.OutboxCursor`."""

    async def claim(self) -> Place | None:
        """The place, or None while another relay holds it."""
        ...

    async def save(self, place: Place) -> None:
        """Keep a place."""
        ...


class Relay:
    """Follows the log and publishes it."""

    def __init__(
        self, store: Log, cursor: Cursor, bus: RelayBus, *, batch: int = 512, rewind_events: int | None = None
    ) -> None:
        """`rewind_events`: how much of the log a new stream is given again; None: all of it."""
        self._store = store
        self._cursor = cursor
        self._bus = bus
        self._batch = batch
        self._rewind_events = rewind_events
        self.position = 0  # last acknowledged sequence
        self.standby = True  # another relay is at work
        self.trouble: str | None = None  # why nothing moves at the moment

    async def run(self) -> None:
        """Relay until cancelled; whatever is away, wait for it."""
        wakeups, look_at = self._store.wakeups(), 0.0
        try:
            async for _ in wakeups:
                try:
                    now = time.monotonic()
                    if await self.catch_up(look=now >= look_at):
                        await asyncio.sleep(_GATHER_S)
                    look_at = now + _LOOK_S if now >= look_at else look_at
                    self._report(None)
                except (Transient, NotFound) as exc:
                    look_at = 0.0
                    self._report(str(exc))
                    await asyncio.sleep(min(exc.delay_s if isinstance(exc, Transient) else 1.0, 5.0))
        finally:
            if isinstance(wakeups, AsyncGenerator):
                await wakeups.aclose()

    async def catch_up(self, *, look: bool = True) -> int:
        """Publish everything the broker has not acknowledged; how many events were handed on.

        `look`: whether the broker's stream is still the one that the place belongs to. Who looks a little later hands
        some events to the new stream first, and all of them again then.

        Raises:
            Transient, NotFound: the database, the broker or its stream is away; the position stays true.
        """
        place = await self._cursor.claim()
        self.standby = place is None
        if place is None:
            return 0
        if look or place.identity is None:
            place = await self._recognise(place)
        count = 0
        while events := await self._store.read(place.position, self._batch):
            count += await self._publish([_message(stored) for stored in events if _goes_out(stored)])
            place = Place(events[-1].sequence, place.identity)
            await self._cursor.save(place)
            self.position = place.position
            if len(events) < self._batch:
                break  # what came meanwhile was announced
        return count

    async def _recognise(self, place: Place) -> Place:
        """The place in the stream that is there now: as saved, or rewound because it is another stream."""
        identity = await self._identity()
        self.position = place.position
        if place.identity == identity:
            return place
        position = place.position
        if place.identity is not None:
            position = 0 if self._rewind_events is None else max(0, position - self._rewind_events)
            log.warning("relay.rewound", stream=EVENTS, from_position=place.position, to_position=position)
        found = Place(position, identity)
        await self._cursor.save(found)
        self.position = position
        return found

    async def _identity(self) -> str:
        """The stream's identity; a stream that is gone is made again, for nobody else may publish to it first."""
        try:
            return await self._bus.stream_identity(EVENTS)
        except NotFound:
            await self._bus.ensure_streams()
            return await self._bus.stream_identity(EVENTS)

    async def _publish(self, messages: list[Message]) -> int:
        if not messages:
            return 0
        try:
            await self._bus.publish_batch(messages)
        except Refused as exc:
            if len(messages) == 1:  # one event nobody can carry must not stop all others; the log still has it
                log.error("relay.skipped", event_id=messages[0][2], code=exc.code, error=str(exc))  # noqa: TRY400
                return 0
            middle = len(messages) // 2
            return await self._publish(messages[:middle]) + await self._publish(messages[middle:])
        return len(messages)

    def _report(self, trouble: str | None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            log.info("relay.working") if trouble is None else log.warning("relay.waiting", reason=trouble)


def _goes_out(stored: StoredEvent) -> bool:
    return stored.event.phase is not Phase.INTENT


def _message(stored: StoredEvent) -> Message:
    event = stored.event
    subject = event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type)
    return subject, encode(stored), str(event.id)
