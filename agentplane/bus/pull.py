"""The pull loop under `consume` and `follow`: one outstanding request at least, made again whenever it may be lost.

A server that restarts forgets requests, one that is wiped forgets the consumer as well: after a reconnect, a missed
heartbeat or an error the consumer is looked up (and made) anew. Never acknowledges, never drops.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import msgspec

from agentplane.bus.link import Link
from agentplane.bus.reading import Delivered
from agentplane.errors import NotFound, Transient

_EXPIRES_S: Final = 30
_HEARTBEAT_S: Final = 5
_SILENCE_S: Final = 2 * _HEARTBEAT_S + 2
_RETRY_S: Final = 0.25
_NANOSECONDS: Final = 1_000_000_000

Ensure = Callable[[], Awaitable[str]]


class Pull:
    """Messages of one consumer. `ensure` looks the consumer up or makes it, and answers its name."""

    def __init__(self, link: Link, stream: str, ensure: Ensure, batch: int) -> None:
        self._link = link
        self._stream = stream
        self._ensure = ensure
        self._batch = batch
        self._inbox = link.new_inbox()
        self._queue: deque[Delivered | None] = deque()  # None: look again at the connection; never more than asked for
        self._arrived = asyncio.Event()
        self._consumer: str | None = None
        self._outstanding = 0

    async def messages(self) -> AsyncIterator[Delivered]:
        """Yield them as they come, until the bus is closed."""
        subscription = await self._link.take(self._inbox, self._take)
        self._link.reconnected.add(self._look_again)
        closing = asyncio.ensure_future(self._watch_closed())
        try:
            while not self._link.closed.is_set():
                message = await self._next()
                if message is not None:
                    yield message
        finally:
            closing.cancel()
            self._link.reconnected.discard(self._look_again)
            await self._link.unlisten(subscription)

    def lost(self) -> None:
        """The consumer cannot be trusted any more: make it anew."""
        self._consumer = None

    def _take(self, message: Delivered | None) -> None:
        self._queue.append(message)
        self._arrived.set()

    def _look_again(self) -> None:
        self._take(None)

    async def _watch_closed(self) -> None:
        await self._link.closed.wait()
        self._look_again()

    async def _next(self) -> Delivered | None:
        if self._consumer is None or 2 * self._outstanding <= self._batch:
            try:
                await self._request()
            except (Transient, NotFound):
                self.lost()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_RETRY_S):
                        await self._link.closed.wait()
                return None
        message = self._queue.popleft() if self._queue else await self._arrival()
        if message is None:
            self.lost()
            return None
        if status := message.status:
            await self._on_status(status, message.headers)
            return None
        self._outstanding -= 1
        return message

    async def _request(self) -> None:
        if self._consumer is None:
            self._consumer = await self._ensure()
            self._outstanding = 0
        wanted = self._batch - self._outstanding
        request: dict[str, Any] = {
            "batch": wanted,
            "expires": _EXPIRES_S * _NANOSECONDS,
            "idle_heartbeat": _HEARTBEAT_S * _NANOSECONDS,
        }
        operation = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._link.cast(operation, msgspec.json.encode(request), reply=self._inbox)
        self._outstanding += wanted

    async def _arrival(self) -> Delivered | None:
        """The next one; None also when even heartbeats stay away."""
        self._arrived.clear()
        try:
            async with asyncio.timeout(_SILENCE_S):
                await self._arrived.wait()
        except TimeoutError:
            return None
        return self._queue.popleft()

    async def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status == "100":  # heartbeat
            return
        if status in ("404", "408"):  # the request ended; it may have been served in part
            self._outstanding -= int(headers.get("Nats-Pending-Messages", self._outstanding))
            return
        self.lost()  # 409 consumer deleted or server stopping, 503 nobody there
        await asyncio.sleep(_RETRY_S)
