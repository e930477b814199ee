"""One connection to NATS: asking, casting, listening, and what the driver says when it goes wrong.

The only module that sees nats-py's exceptions and callbacks. It never retries and knows no stream.
"""

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import nats.errors

from agentplane.bus import handshake
from agentplane.bus.failures import DRIVER, UNREACHABLE, checked, translated
from agentplane.bus.listener import Listener, ShortListener, Sink
from agentplane.bus.nkeys import public_key, read_seed
from agentplane.bus.reading import Delivered, Taker, new_client
from agentplane.bus.replies import Replies
from agentplane.bus.tls import Tls
from agentplane.bus.verdicts import Verdicts
from agentplane.errors import AgentplaneError, Denied, Transient

log = logging.getLogger(__name__)

_VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
_RECONNECT_WAIT_S: Final = 0.25
_REVIVE_MAX_S: Final = 5.0
_GOODBYE_S: Final = 2.0


class Link:
    """A connection that comes back by itself. `inbox` is the only prefix it may listen to for answers."""

    def __init__(
        self, name: str, inbox: str, servers: list[str], seed: str | None, encryption: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self._servers = servers
        self._seed = seed
        self._encryption = encryption or {}
        self._listeners: set[Listener] = set()
        self._reviving: asyncio.Task[None] | None = None
        self.inbox = inbox
        self.reconnected: set[Callable[[], None]] = set()
        self.client = new_client()
        self.closed = asyncio.Event()
        self.closing = False
        self.verdicts = Verdicts(lambda: self.client)
        self._replies = Replies(inbox)
        self._last_error: str = ""
        self._denied = asyncio.Event()
        self._refusal: Exception = nats.errors.AuthorizationError()  # why, once that is set
        self._connected_once = False

    @classmethod
    async def open(
        cls, servers: list[str], *, seed_file: Path | None, name: str, timeout_s: float, tls: Tls | None = None
    ) -> "Link":
        """Connect; with `tls`, encrypted from the first byte and to nobody whose certificate does not verify.

        Raises:
            Transient: `bus.unreachable`, `bus.certificate`. Denied: `bus.denied`, or the key file is unfit (`nkey.…`).
            Refused: `bus.ca`.
        """
        inbox = f"_INBOX.{public_key(seed_file) if seed_file else name}"
        seed = bytes(read_seed(seed_file)).decode() if seed_file else None
        link = cls(name, inbox, servers, seed, handshake.options(tls))
        try:
            async with asyncio.timeout(timeout_s):
                await link._connect_unless_denied()
        except BaseException as exc:
            await link._abandon()
            raise link._why_not(exc) or exc from exc
        return link

    async def _connect_unless_denied(self) -> None:
        """The driver would try a refused key again for ever."""
        connecting = asyncio.ensure_future(self._connect())
        denied = asyncio.ensure_future(self._denied.wait())
        try:
            await asyncio.wait((connecting, denied), return_when=asyncio.FIRST_COMPLETED)
            if denied.done():
                raise self._refusal
            await connecting
        finally:
            connecting.cancel()
            denied.cancel()

    async def _connect(self) -> None:
        await self.client.connect(
            self._servers,
            name=self.name,
            nkeys_seed_str=self._seed,
            inbox_prefix=self.inbox,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # seconds, used as a float
            connect_timeout=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
            **self._encryption,
        )
        await ShortListener(self._replies.pattern, self._replies.arrive).attach(self.client)
        for listener in tuple(self._listeners):
            await listener.attach(self.client)
        await self.client.flush()
        self._connected_once = True

    async def _abandon(self) -> None:
        self.closing = True
        await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        with contextlib.suppress(*DRIVER):
            # TLS says goodbye and waits half a minute for the answer of somebody who may be gone
            async with asyncio.timeout(_GOODBYE_S):
                await self.client.close()
        # what is open still, since nobody answered or it was just being made, is no longer anybody's to close
        writer = getattr(self.client._transport, "_io_writer", None)  # noqa: SLF001 - the driver has no other way
        if writer is not None:
            writer.transport.abort()
            await asyncio.sleep(0)

    def _why_not(self, exc: BaseException) -> AgentplaneError | None:
        where = ", ".join(self._servers)
        if "authorization" in f"{self._last_error} {exc}".lower():
            return Denied("the bus does not know this key", code="bus.denied", where=where)
        if untrusted := handshake.failure(f"{exc} {self._last_error}", where):
            return untrusted
        if isinstance(exc, DRIVER):
            said = handshake.words(self._last_error or str(exc) or "no answer")
            return Transient(f"cannot connect: {said}", code="bus.unreachable", where=where, hint=UNREACHABLE)
        return None

    async def ask(self, subject: str, data: bytes, *, headers: dict[str, str] | None, timeout_s: float) -> Delivered:
        """Publish with a reply inbox and wait for one answer.

        Raises:
            Transient: `bus.no-responder`, `bus.timeout`, `bus.unreachable`. Denied: `bus.denied`. Refused: too large.
        """
        reply, future = self._expect(subject)
        try:
            with translated(subject):
                await self.client.publish(subject, data, reply=reply, headers=headers)
                async with asyncio.timeout(timeout_s):
                    return await future
        finally:
            self._replies.forget(reply)

    async def ask_many(self, messages: list[tuple[str, bytes, dict[str, str]]], timeout_s: float) -> list[Delivered]:
        """As `ask`, pipelined: all are sent before the first answer is awaited. The first failure is raised."""
        expected: list[tuple[str, asyncio.Future[Delivered]]] = []
        try:
            with translated(messages[0][0]):
                for subject, data, headers in messages:
                    reply, future = self._expect(subject)
                    expected.append((reply, future))
                    await self.client.publish(subject, data, reply=reply, headers=headers)
                async with asyncio.timeout(timeout_s):
                    return await asyncio.gather(*(future for _, future in expected))
        finally:
            for reply, _ in expected:
                self._replies.forget(reply)

    def _expect(self, subject: str) -> tuple[str, asyncio.Future[Delivered]]:
        self._check(subject)
        return self._replies.expect(subject)

    def _check(self, subject: str) -> None:
        if self.closed.is_set():
            raise Transient("the bus is closed", code="bus.closed", where=subject)
        if not self._connected_once:
            raise Transient("the bus is away", code="bus.unreachable", where=subject, hint=UNREACHABLE)

    async def api(
        self, operation: str, request: dict[str, Any] | None = None, timeout_s: float = 5.0
    ) -> dict[str, Any]:
        """Call JetStream's API (`$JS.API.<operation>`).

        Raises:
            NotFound: no such stream, consumer or message. Transient: as `ask`, or the server refuses for now.
        """
        body = b"" if request is None else msgspec.json.encode(request)
        answer = await self.ask(f"$JS.API.{operation}", body, headers=None, timeout_s=timeout_s)
        return checked(answer.data, operation)

    async def cast(self, subject: str, data: bytes, *, reply: str = "", headers: dict[str, str] | None = None) -> None:
        """Publish and forget. Raises Transient or Refused when the driver will not even take it."""
        self._check(subject)
        with translated(subject):
            await self.client.publish(subject, data, reply=reply, headers=headers)

    async def listen(self, subject: str, sink: Sink, *, queue: str = "") -> Listener:
        """Hand every message of a subject to `sink`, one after the other; the server knows when this returns."""
        return await self._begin(subject, Listener(subject, sink, queue))

    async def take(self, subject: str, taker: Taker) -> Listener:
        """As `listen`, for somebody who neither waits nor raises, and bounds himself what the server may send."""
        return await self._begin(subject, ShortListener(subject, taker))

    async def _begin(self, subject: str, listener: Listener) -> Listener:
        with translated(subject):
            await listener.attach(self.client)
        self._listeners.add(listener)
        await asyncio.shield(asyncio.ensure_future(self._round_trip()))
        return listener

    async def _round_trip(self) -> None:
        # Its own task, because the driver's flush can swallow a cancellation (asyncio.wait_for before 3.12).
        with contextlib.suppress(*DRIVER):  # away: a reconnect subscribes again
            await self.client.flush(timeout=2)

    async def unlisten(self, listener: Listener) -> None:
        """Stop listening; quietly, when the connection is gone already."""
        self._listeners.discard(listener)
        with contextlib.suppress(*DRIVER):
            await listener.detach()

    def new_inbox(self) -> str:
        """A subject that only we may listen to."""
        return f"{self.inbox}.{secrets.token_hex(12)}"

    async def close(self) -> None:
        """Flush, then disconnect; never raises for a bus that is away."""
        self.closing = True
        self.verdicts.write()
        if self._reviving is not None:
            self._reviving.cancel()
            await asyncio.wait((self._reviving,))
        with contextlib.suppress(*DRIVER):
            if self.client.is_connected:
                async with asyncio.timeout(_GOODBYE_S):
                    await self.client.flush()
        await self._say_goodbye()
        self._replies.fail("the bus is closed")
        self.closed.set()

    async def _on_error(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__
        if violation := _VIOLATION.search(self._last_error):
            self._on_violation(violation[1].lower(), violation[2])
        elif isinstance(error, nats.errors.SlowConsumerError):
            log.warning("the bus drops messages for a slow reader", extra={"subject": error.subject})
        else:
            log.debug("bus: %s", self._last_error)
        if self._denied.is_set():
            return  # what follows is only how the connection ended
        if "authorization violation" in self._last_error.lower():
            self._refusal = nats.errors.AuthorizationError()
            self._denied.set()
        elif len(self._servers) == 1 and handshake.failure(self._last_error, ""):  # of several, another may be better
            self._refusal = error
            self._denied.set()

    def _on_violation(self, what: str, subject: str) -> None:
        log.warning("the bus does not allow %s to %s", what, subject)
        if what == "publish":
            self._replies.deny(subject)

    async def _on_disconnect(self) -> None:
        self._replies.fail("the connection to the bus broke")
        if not self.closing:
            log.warning("bus disconnected")

    async def _on_reconnect(self) -> None:
        log.info("bus reconnected")
        for callback in tuple(self.reconnected):
            callback()

    async def _on_close(self) -> None:
        """The server sent us away (key revoked, too many connections): the driver gives up then, we do not."""
        self._replies.fail("the bus closed the connection")
        if not self.closing and self._connected_once:
            log.warning("the bus closed the connection: %s", self._last_error)
            self._reviving = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        delay_s = _RECONNECT_WAIT_S
        while True:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _REVIVE_MAX_S)
            self._denied.clear()
            self.client = new_client()
            self._connected_once = False  # until it is, only this loop speaks for the connection
            try:
                async with asyncio.timeout(_REVIVE_MAX_S):
                    await self._connect_unless_denied()
            except DRIVER:
                with contextlib.suppress(*DRIVER):
                    await self.client.close()
                continue
            await self._on_reconnect()
            return
