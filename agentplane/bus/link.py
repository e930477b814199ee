"""One connection to NATS: asking, casting, listening, and what the driver says when it goes wrong.

The only module that sees nats-py's exceptions and callbacks. It never retries and knows no stream.
"""

import asyncio
import contextlib
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from agentplane.bus.nkeys import public_key, read_seed
from agentplane.errors import AgentplaneError, Denied, NotFound, Refused, Transient

log = logging.getLogger(__name__)

_VIOLATION: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)
_RECONNECT_WAIT_S: Final = 0.25
_UNREACHABLE: Final = "is nats-server running? `agentplane doctor` looks"


@contextlib.contextmanager
def translated(subject: str) -> Iterator[None]:
    """Turn the driver's exceptions into ours, once."""
    try:
        yield
    except nats.errors.MaxPayloadError as exc:
        raise Refused("larger than the bus carries", code="bus.too-large", where=subject) from exc
    except nats.errors.BadSubjectError as exc:
        raise Refused("not a subject", code="bus.subject", where=subject) from exc
    except (nats.errors.TimeoutError, TimeoutError) as exc:
        raise Transient("the bus did not answer in time", code="bus.timeout", where=subject) from exc
    except (nats.errors.Error, OSError) as exc:
        raise Transient(f"the bus is away: {exc}", code="bus.unreachable", where=subject, hint=_UNREACHABLE) from exc


class Link:
    """A connection that comes back by itself. `inbox` is the only prefix it may listen to for answers."""

    def __init__(self, name: str, inbox: str) -> None:
        self.name = name
        self.inbox = inbox
        self.reconnected: set[Callable[[], None]] = set()
        self.client = Client()
        self.closed = asyncio.Event()
        self.closing = False
        self._prefix = f"{inbox}.{secrets.token_hex(8)}."
        self._tokens = itertools.count(1)
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._last_error: str = ""
        self._denied = asyncio.Event()

    @classmethod
    async def open(cls, servers: list[str], *, seed_file: Path | None, name: str, timeout_s: float) -> "Link":
        """Connect.

        Raises:
            Transient: `bus.unreachable`. Denied: `bus.denied`, or the key file is unfit (`nkey.…`).
        """
        inbox = f"_INBOX.{public_key(seed_file) if seed_file else name}"
        link = cls(name, inbox)
        seed = bytes(read_seed(seed_file)).decode() if seed_file else None
        try:
            async with asyncio.timeout(timeout_s):
                await link._connect_unless_denied(servers, seed)
        except BaseException as exc:
            await link._abandon()
            raise link._why_not(servers, exc) or exc from exc
        return link

    async def _connect_unless_denied(self, servers: list[str], seed: str | None) -> None:
        """The driver would try a refused key again for ever."""
        connecting = asyncio.ensure_future(self._connect(servers, seed))
        denied = asyncio.ensure_future(self._denied.wait())
        try:
            await asyncio.wait((connecting, denied), return_when=asyncio.FIRST_COMPLETED)
            if denied.done():
                raise nats.errors.AuthorizationError
            await connecting
        finally:
            connecting.cancel()
            denied.cancel()

    async def _connect(self, servers: list[str], seed: str | None) -> None:
        await self.client.connect(
            servers,
            name=self.name,
            nkeys_seed_str=seed,
            inbox_prefix=self.inbox,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type]  # seconds, used as a float
            connect_timeout=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            closed_cb=self._on_close,
        )
        await self.client.subscribe(f"{self._prefix}*", cb=self._on_reply)
        await self.client.flush()

    async def _abandon(self) -> None:
        self.closing = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self.client.close()

    def _why_not(self, servers: list[str], exc: BaseException) -> AgentplaneError | None:
        where = ", ".join(servers)
        if "authorization" in f"{self._last_error} {exc}".lower():
            return Denied("the bus does not know this key", code="bus.denied", where=where)
        if isinstance(exc, nats.errors.Error | OSError | TimeoutError):
            said = self._last_error or str(exc) or "no answer"
            return Transient(f"cannot connect: {said}", code="bus.unreachable", where=where, hint=_UNREACHABLE)
        return None

    async def ask(self, subject: str, data: bytes, *, headers: dict[str, str] | None, timeout_s: float) -> Msg:
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
            self._waiting.pop(reply, None)

    async def ask_many(self, messages: list[tuple[str, bytes, dict[str, str]]], timeout_s: float) -> list[Msg]:
        """As `ask`, pipelined: all are sent before the first answer is awaited. The first failure is raised."""
        expected: list[tuple[str, asyncio.Future[Msg]]] = []
        try:
            with translated(messages[0][0]):
                for subject, data, headers in messages:
                    reply, future = self._expect(subject)
                    expected.append((reply, future))
                    await self.client.publish(subject, data, reply=reply, headers=headers)
                async with asyncio.timeout(timeout_s):
                    return await asyncio.gather(*(future for _, future in expected))
        finally:
            for reply, future in expected:
                self._waiting.pop(reply, None)
                future.cancel()

    def _expect(self, subject: str) -> tuple[str, asyncio.Future[Msg]]:
        if self.closed.is_set():
            raise Transient("the bus is closed", code="bus.closed", where=subject)
        reply = f"{self._prefix}{next(self._tokens)}"
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[reply] = (subject, future)
        return reply, future

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
        with translated(subject):
            await self.client.publish(subject, data, reply=reply, headers=headers)

    async def listen(self, subject: str, sink: Callable[[Msg], Awaitable[None]], *, queue: str = "") -> Subscription:
        """Hand every message of a subject to `sink`, one after the other; the server knows when this returns."""
        with translated(subject):
            subscription = await self.client.subscribe(subject, queue=queue, cb=sink)
        await asyncio.shield(asyncio.ensure_future(self._round_trip()))
        return subscription

    async def _round_trip(self) -> None:
        # Its own task, because the driver's flush can swallow a cancellation (asyncio.wait_for before 3.12).
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):  # away: a reconnect subscribes again
            await self.client.flush(timeout=2)

    async def unlisten(self, subscription: Subscription) -> None:
        """Stop listening; quietly, when the connection is gone already."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await subscription.unsubscribe()

    def new_inbox(self) -> str:
        """A subject that only we may listen to."""
        return f"{self.inbox}.{secrets.token_hex(12)}"

    async def close(self) -> None:
        """Flush, then disconnect; never raises for a bus that is away."""
        self.closing = True
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            if self.client.is_connected:
                async with asyncio.timeout(2.0):
                    await self.client.flush()
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            await self.client.close()
        self._fail_waiting("the bus is closed")
        self.closed.set()

    async def _on_reply(self, message: Msg) -> None:
        subject, future = self._waiting.get(message.subject, ("", None))
        if future is None or future.done():
            return
        if message.headers and message.headers.get("Status") == "503":
            future.set_exception(Transient("nobody answers", code="bus.no-responder", where=subject))
        else:
            future.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        self._last_error = str(error) or type(error).__name__
        if violation := _VIOLATION.search(self._last_error):
            self._on_violation(violation[1].lower(), violation[2])
        elif isinstance(error, nats.errors.SlowConsumerError):
            log.warning("the bus drops messages for a slow reader", extra={"subject": error.subject})
        else:
            log.debug("bus: %s", self._last_error)
        if "authorization violation" in self._last_error.lower():
            self._denied.set()

    def _on_violation(self, what: str, subject: str) -> None:
        log.warning("the bus does not allow %s to %s", what, subject)
        for waited, future in tuple(self._waiting.values()):
            if what == "publish" and waited.lower() == subject.lower() and not future.done():
                message = "the bus does not allow this key to publish here"
                future.set_exception(Denied(message, code="bus.denied", where=waited))

    async def _on_disconnect(self) -> None:
        self._fail_waiting("the connection to the bus broke")
        if not self.closing:
            log.warning("bus disconnected")

    def _fail_waiting(self, message: str) -> None:
        for subject, future in tuple(self._waiting.values()):
            if not future.done():
                future.set_exception(Transient(message, code="bus.unreachable", where=subject, hint=_UNREACHABLE))

    async def _on_reconnect(self) -> None:
        log.info("bus reconnected")
        for callback in tuple(self.reconnected):
            callback()

    async def _on_close(self) -> None:
        self._fail_waiting("the bus closed the connection")
        self.closed.set()
        if not self.closing:
            log.error("the bus closed the connection for good: %s", self._last_error)
        for callback in tuple(self.reconnected):
            callback()


def checked(data: bytes, where: str) -> dict[str, Any]:
    """The body of an answer of JetStream. Raises NotFound (404), Transient (anything else that is an error)."""
    try:
        body: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise Transient("not an answer of JetStream", code="bus.protocol", where=where) from exc
    error = body.get("error")
    if error is None:
        return body
    description = str(error.get("description", "unknown"))
    if error.get("code") == 404:  # noqa: PLR2004 - JetStream borrows HTTP's numbers
        raise NotFound(description, code="bus.not-found", where=where)
    full = "maximum" in description or "insufficient" in description
    hint = "the control plane does not keep up, or NATS's disk is full" if full else None
    raise Transient(description, code="bus.full" if full else "bus.refused", where=where, hint=hint)
