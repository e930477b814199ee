"""The bus in one process, for tests and for parts that are tried without a server: the same contract as NATS.

What NATS does at its worst is a switch here: `faults` loses, repeats and reorders; `down` is an outage; `wipe` loses
the storage; `redeliver` is the acknowledgement time running out.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from agentplane.bus.memory_stream import Durable, MemoryMessage, Stored, Stream
from agentplane.bus.streams import STREAMS, matches, stream_of
from agentplane.errors import NotFound, Refused, Transient
from agentplane.ports import Message, Responder


class Faults(msgspec.Struct, kw_only=True):
    """What goes wrong from now on."""

    down: bool = False  # nothing is taken, nobody answers
    lose_next: int = 0  # that many durable publishes are acknowledged and forgotten
    duplicate: bool = False  # every stored message is delivered twice to work consumers
    reorder: random.Random | None = None  # work consumers get waiting messages in this order


class MemoryBus:
    """See agentplane.ports.Bus. One object is the server and everybody's connection to it."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.connected = True
        self._streams = {name: Stream(name) for name in STREAMS}
        self._subscribers: list[tuple[str, asyncio.Queue[tuple[str, bytes] | None]]] = []
        self._responders: list[tuple[str, str, Responder]] = []
        self._reconnected: list[Callable[[], None]] = []
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def down(self) -> bool:
        """Whether there is an outage."""
        return self.faults.down

    # --- what a test does to it --------------------------------------------------------------------------------

    def wipe(self) -> None:
        """Lose everything stored, as a server whose disk was replaced; then call the reconnect hooks."""
        durables = {name: {key: each.subject for key, each in s.durables.items()} for name, s in self._streams.items()}
        for name, subjects in durables.items():
            stream = self._streams[name] = Stream(name)
            stream.durables = {key: Durable(subject) for key, subject in subjects.items()}
        self._wake()
        for callback in self._reconnected:
            callback()

    def redeliver(self) -> None:
        """Put back every message that was delivered and not acknowledged."""
        for stream in self._streams.values():
            for durable in stream.durables.values():
                for sequence in sorted(durable.unacknowledged):
                    self.put_back(durable, sequence)

    def put_back(self, durable: Durable, sequence: int) -> None:
        """Deliver one unacknowledged message again."""
        if sequence in durable.unacknowledged:
            durable.unacknowledged.discard(sequence)
            durable.ready.append(sequence)
            self._wake()

    # --- the port ----------------------------------------------------------------------------------------------

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every `wipe`."""
        self._reconnected.append(callback)

    async def ensure_streams(self) -> None:
        """They are always there. Raises Transient while it is down."""
        self._check(".")

    async def stream_identity(self, stream: str) -> str:
        """Changes with every `wipe`."""
        self._check(stream)
        return self._streams[stream].identity

    async def stored(self, stream: str, subject: str, after: int) -> tuple[int, bytes] | None:
        """As NatsBus.stored."""
        self._check(subject)
        for each in self._streams[stream].messages.values():
            if each.sequence > after and matches(subject, each.subject):
                return each.sequence, each.data
        return None

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Publish durably. Raises Transient while down or where no stream keeps the subject, Refused when too large."""
        self._check(subject)
        name = stream_of(subject)
        if name is None:
            raise Transient("nobody answers", code="bus.no-responder", where=subject)
        if self.faults.lose_next > 0:
            self.faults.lose_next -= 1
            return
        self._store(self._streams[name], subject, data, {"Nats-Msg-Id": message_id})
        self._hand_to_subscribers(subject, data)

    async def publish_batch(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """Publish each durably, in order."""
        for subject, data, message_id in messages:
            await self.publish(subject, data, message_id=message_id)

    async def emit(self, subject: str, data: bytes) -> None:
        """Publish without any promise."""
        if self.faults.down or self._closed:
            return
        if name := stream_of(subject):
            self._store(self._streams[name], subject, data, {})
        self._hand_to_subscribers(subject, data)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask one responder. Raises Transient: `bus.no-responder`, `bus.timeout`."""
        self._check(subject)
        for pattern, _, responder in self._responders:
            if matches(pattern, subject):
                return await _bounded(responder, subject, data, timeout_s)
        raise Transient("nobody answers", code="bus.no-responder", where=subject)

    async def respond(self, subject: str, responder: Responder, *, queue: str = "") -> None:
        """Answer requests on a subject until close."""
        self._responders.append((subject, queue, responder))

    async def consume(self, stream: str, durable: str, *, subject: str, batch: int = 100) -> AsyncIterator[Message]:  # noqa: ARG002 - a matter of transport
        """Messages of a durable work consumer, until close."""
        held: set[int] = set()
        try:
            while not self._closed:
                current = self._streams[stream]
                consumer = self._durable(current, durable, subject)
                sequence = None if self.faults.down else self._take(current, consumer)
                if sequence is None:
                    await self._change()
                    continue
                held.add(sequence)
                stored = current.messages[sequence]
                yield MemoryMessage(self, current, consumer, stored)
                if self.faults.duplicate:  # even one that was acknowledged: the acknowledgement came too late
                    consumer.deliveries[sequence] += 1
                    yield MemoryMessage(self, current, consumer, stored)
        finally:  # a consumer that died: its messages come again to another
            consumer = self._durable(self._streams[stream], durable, subject)
            for sequence in sorted(held & consumer.unacknowledged):
                self.put_back(consumer, sequence)

    async def follow(self, stream: str, subject: str, *, start_sequence: int | None = None) -> AsyncIterator[Message]:
        """Every stored message of a subject in order, then new ones, until close."""
        identity, position = self._streams[stream].identity, (start_sequence or 1) - 1
        while not self._closed:
            current = self._streams[stream]
            if current.identity != identity:
                identity, position = current.identity, 0
            later = [each for each in current.messages.values() if each.sequence > position]
            for stored in later:
                position = stored.sequence
                if matches(subject, stored.subject):
                    yield MemoryMessage(self, current, None, stored)
            if not later:
                await self._change()

    def subscribe(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """Core messages as they come, from this call on."""
        queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue()
        entry = (subject, queue)
        self._subscribers.append(entry)
        return self._subscription(entry)

    async def _subscription(
        self, entry: tuple[str, asyncio.Queue[tuple[str, bytes] | None]]
    ) -> AsyncIterator[tuple[str, bytes]]:
        try:
            while not self._closed and (item := await entry[1].get()) is not None:
                yield item
        finally:
            self._subscribers.remove(entry)

    async def close(self) -> None:
        """End every iterator."""
        self._closed = True
        self._wake()
        for _, queue in self._subscribers:
            queue.put_nowait(None)

    # --- inside ------------------------------------------------------------------------------------------------

    def _check(self, where: str) -> None:
        if self._closed:
            raise Transient("the bus is closed", code="bus.closed", where=where)
        if self.faults.down:
            raise Transient("the bus is away", code="bus.unreachable", where=where)

    def _store(self, stream: Stream, subject: str, data: bytes, headers: dict[str, str]) -> None:
        if len(data) > stream.spec.max_msg_size_bytes:
            raise Refused("larger than the stream takes", code="bus.too-large", where=subject)
        message_id = headers.get("Nats-Msg-Id")
        if message_id in stream.ids:
            return
        if message_id is not None:
            stream.ids.add(message_id)
        stream.last += 1
        stream.messages[stream.last] = Stored(stream.last, subject, data, headers)
        for durable in stream.durables.values():
            if matches(durable.subject, subject):
                durable.ready.append(stream.last)
        self._wake()

    def _hand_to_subscribers(self, subject: str, data: bytes) -> None:
        for pattern, queue in self._subscribers:
            if matches(pattern, subject):
                queue.put_nowait((subject, data))

    def _durable(self, stream: Stream, name: str, subject: str) -> Durable:
        if name not in stream.durables:
            durable = stream.durables[name] = Durable(subject)
            durable.ready.extend(s for s, each in stream.messages.items() if matches(subject, each.subject))
        return stream.durables[name]

    def _take(self, stream: Stream, durable: Durable) -> int | None:
        while durable.ready:
            if self.faults.reorder is not None:
                durable.ready.rotate(self.faults.reorder.randrange(len(durable.ready)))
            sequence = durable.ready.popleft()
            if sequence in stream.messages:
                durable.unacknowledged.add(sequence)
                durable.deliveries[sequence] = durable.deliveries.get(sequence, 0) + 1
                return sequence
        return None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        """Until something changes; looks again anyway, since `faults` is changed without a sound."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await self._changed.wait()


async def _bounded(responder: Responder, subject: str, data: bytes, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            try:
                return await responder(subject, data)
            except (Transient, Refused, NotFound):
                await asyncio.get_running_loop().create_future()  # a responder that fails answers nothing
                raise
    except TimeoutError as exc:
        raise Transient("the bus did not answer in time", code="bus.timeout", where=subject) from exc
