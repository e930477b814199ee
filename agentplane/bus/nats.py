"""The bus over NATS JetStream: agentplane.ports.Bus, and what the control plane needs to own its streams.

NATS is transport: a server that restarts costs time, a server that is wiped costs a re-publication; never truth.
Raises only agentplane.errors; nats-py stays behind agentplane.bus.link.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from nats.aio.msg import Msg

from agentplane.bus.deliveries import Following, NatsMessage, is_stray_acknowledgement
from agentplane.bus.link import Link
from agentplane.bus.publishing import Publisher
from agentplane.bus.pull import Pull
from agentplane.bus.streams import STREAMS
from agentplane.bus.subjects import is_inbox
from agentplane.bus.tls import Tls, chosen
from agentplane.errors import AgentplaneError, NotFound, Transient
from agentplane.ports import Message, Responder

log = logging.getLogger(__name__)

_LOOK_TIMEOUT_S: Final = 5.0
_RESPONDERS: Final = 64  # requests answered at once
_SUBSCRIBER_QUEUE: Final = 10_000  # core messages kept for a slow reader; the oldest go first
_ACK_WAIT_S: Final = 10  # well below the patience of the people who wait for an answer
_NANOSECONDS: Final = 1_000_000_000


class NatsBus:
    """See agentplane.ports.Bus."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._publisher = Publisher(link, self._streams_back)
        self._owns_streams = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(_RESPONDERS)

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        nkey_seed_file: Path | None,
        name: str,
        timeout_s: float = 5.0,
        tls: Tls | None = None,
        allow_plaintext: bool = False,
    ) -> Self:
        """Connect; afterwards the connection comes back by itself, for ever. Off this machine only with TLS.

        Raises:
            Transient: code `bus.unreachable`, `bus.certificate`. Refused: `bus.address`, `bus.ca`.
            Denied: code `bus.plaintext`, `bus.denied`, or `nkey.…` for an unfit key file.
        """
        how = chosen(servers, tls, allow_plaintext=allow_plaintext)
        return cls(await Link.open(list(servers), seed_file=nkey_seed_file, name=name, timeout_s=timeout_s, tls=how))

    @property
    def connected(self) -> bool:
        """Whether the server is there right now."""
        return bool(self._link.client.is_connected)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after every reconnect; the server may have been wiped meanwhile."""
        self._link.reconnected.add(callback)

    # --- streams -----------------------------------------------------------------------------------------------

    async def ensure_streams(self) -> None:
        """Make or update all streams. From then on this bus makes them again whenever they are gone.

        Raises:
            Transient: the server is away. Denied: this key may not.
        """
        for spec in STREAMS.values():
            try:
                await self._link.api(f"STREAM.UPDATE.{spec.name}", spec.config())
            except NotFound:
                await self._link.api(f"STREAM.CREATE.{spec.name}", spec.config())
        self._owns_streams = True

    async def stream_identity(self, stream: str) -> str:
        """When the stream was made: another value means that everything in it was lost.

        Raises:
            NotFound: it is gone. Transient: the server is away.
        """
        return str((await self._link.api(f"STREAM.INFO.{stream}"))["created"])

    async def stored(self, stream: str, subject: str, after: int) -> tuple[int, bytes] | None:
        """The first stored message of a subject with a stream sequence > after: (sequence, data); None: no such yet.

        Raises:
            Transient: the server is away.
        """
        request = {"seq": after + 1, "next_by_subj": subject}
        answer = await self._link.ask(
            f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(request), headers=None, timeout_s=_LOOK_TIMEOUT_S
        )
        if answer.status == "404":
            return None
        return int(answer.headers["Nats-Sequence"]), answer.data

    # --- publishing --------------------------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes, *, message_id: str) -> None:
        """Publish durably. Raises Transient (also `bus.full`), Denied, Refused (`bus.too-large`)."""
        await self.publish_batch([(subject, data, message_id)])

    async def publish_batch(self, messages: Sequence[tuple[str, bytes, str]]) -> None:
        """Publish durably, in order; atomically where stream and server can, otherwise in windows of 100."""
        await self._publisher.publish(messages)

    async def _streams_back(self) -> bool:
        """Make the streams again if they are ours to make."""
        if self._owns_streams:
            await self.ensure_streams()
        return self._owns_streams

    async def emit(self, subject: str, data: bytes) -> None:
        """Publish without any promise. Raises Refused (`bus.too-large`) only."""
        with contextlib.suppress(Transient):
            await self._link.cast(subject, data)

    # --- asking and answering ----------------------------------------------------------------------------------

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        """Ask and wait. Raises Transient (`bus.no-responder`, `bus.timeout`, `bus.unreachable`), Denied."""
        return bytes((await self._link.ask(subject, data, headers=None, timeout_s=timeout_s)).data)

    async def respond(self, subject: str, responder: Responder, *, queue: str = "") -> None:
        """Answer requests until close; up to 64 at once, others wait. A responder that raises answers nothing.

        Who asks names the answer's subject, and the server checks it against *our* rights: only inboxes are answered.
        """

        async def sink(message: Msg) -> None:
            if message.reply and not is_inbox(message.reply, asked=message.subject):
                log.warning("not answered: %s wants the answer at %s", message.subject, message.reply[:200])
                return
            await self._slots.acquire()
            task = asyncio.get_running_loop().create_task(self._answer(responder, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        await self._link.listen(subject, sink, queue=queue)

    async def _answer(self, responder: Responder, message: Msg) -> None:
        try:
            answer = await responder(message.subject, message.data)
            if message.reply:
                await self._link.cast(message.reply, answer)
        except AgentplaneError as exc:
            log.warning("no answer to %s: %s (%s)", message.subject, exc, exc.code)
        except Exception:
            log.exception("responder of %s failed", message.subject)
        finally:
            self._slots.release()

    # --- receiving ---------------------------------------------------------------------------------------------

    async def consume(self, stream: str, durable: str, *, subject: str, batch: int = 100) -> AsyncIterator[Message]:
        """Messages of a durable work consumer, until close. Makes the consumer, and the streams where they are gone."""

        async def ensure() -> str:
            return await self._ensure_durable(stream, durable, subject)

        async for raw in Pull(self._link, stream, ensure, batch).messages():
            message = NatsMessage(self._link, raw)
            if is_stray_acknowledgement(raw):
                log.warning("dropped an acknowledgement that somebody steered to %s", raw.subject)
                await message.term("a stray acknowledgement")
                continue
            yield message

    async def _ensure_durable(self, stream: str, durable: str, subject: str) -> str:
        config = {
            "durable_name": durable,
            "filter_subject": subject,
            "ack_policy": "explicit",
            "ack_wait": _ACK_WAIT_S * _NANOSECONDS,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "max_ack_pending": 2000,
        }
        operation = f"CONSUMER.CREATE.{stream}.{durable}.{subject}"
        request = {"stream_name": stream, "config": config | {"name": durable}}
        try:
            await self._link.api(operation, request)
        except (NotFound, Transient) as exc:
            if isinstance(exc, Transient) and exc.code != "bus.no-responder":
                raise
            await self.ensure_streams()
            await self._link.api(operation, request)
        return durable

    async def follow(self, stream: str, subject: str, *, start_sequence: int | None = None) -> AsyncIterator[Message]:
        """Every stored message of a subject from `start_sequence` on, in order, then new ones; until close.

        After the stream was lost it begins again with whatever the new one holds.
        """
        state = Following(self._link, stream, subject, start_sequence or 1)
        pull = Pull(self._link, stream, state.ensure, batch=500)
        async for raw in pull.messages():
            verdict = state.admit(raw)
            if verdict == "take":
                yield NatsMessage(self._link, raw)
            elif verdict == "gap":
                pull.lost()

    def subscribe(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """Core messages as they come, from this call on; a reader that is too slow loses the oldest."""
        queue: asyncio.Queue[tuple[str, bytes] | None] = asyncio.Queue(_SUBSCRIBER_QUEUE)

        async def sink(message: Msg) -> None:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait((message.subject, message.data))

        listening = asyncio.get_running_loop().create_task(self._link.listen(subject, sink))
        return self._subscription(queue, listening)

    async def _subscription(
        self, queue: asyncio.Queue[tuple[str, bytes] | None], listening: asyncio.Task[Any]
    ) -> AsyncIterator[tuple[str, bytes]]:
        subscription = await listening
        closing = asyncio.get_running_loop().create_task(self._link.closed.wait())
        closing.add_done_callback(lambda _: None if queue.full() else queue.put_nowait(None))
        try:
            while not self._link.closed.is_set():
                item = await queue.get()
                if item is not None:
                    yield item
        finally:
            closing.cancel()
            await self._link.unlisten(subscription)

    async def close(self) -> None:
        """Finish the answers under way, flush, disconnect."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2.0)
        await self._link.close()
