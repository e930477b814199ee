"""The conversation with control: one heartbeat at a time, each answered with all that this host should be doing.

Asked at the period that control names, at once when something changed here or control woke us, and again soon after
an answer that did not name a lease we hold (see `reconcile.MISSED_ANSWERS`).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Refused
from agentplane.metrics.counters import HEARTBEATS
from agentplane.ports import Bus
from agentplane.runs.protocol import MAX_REPLY_BYTES, HeartbeatReply, HeartbeatRequest

log = get_logger()

ANSWER_TIMEOUT_S: Final = 5.0
_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 5.0
_SOON_S: Final = 1.0


class Heart:
    """Beats until cancelled. `beat_now` shortens the pause; what `act` returns says whether to ask again soon."""

    def __init__(
        self,
        bus: Bus,
        executor: str,
        request: Callable[[], HeartbeatRequest],
        act: Callable[[HeartbeatReply], bool],
    ) -> None:
        self._bus = bus
        self._executor = executor
        self._request = request
        self._act = act
        self._now = asyncio.Event()
        self._failures = 0
        self.last: HeartbeatReply | None = None

    def beat_now(self) -> None:
        """Something changed."""
        self._now.set()

    async def listen(self) -> None:
        """Beat at once whenever control wakes us."""
        async for _ in self._bus.subscribe(subjects.wake(self._executor)):
            self.beat_now()

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            pause_s = await self._beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._now.wait(), pause_s)

    async def _beat(self) -> float:
        self._now.clear()
        try:
            reply = await self._ask()
            again = self._act(reply)
        except AgentplaneError as exc:
            HEARTBEATS.labels("failed").inc()
            return self._failed(exc)
        HEARTBEATS.labels("accepted" if reply.accepted else "refused").inc()
        if self._failures or self.last is None or self.last.accepted != reply.accepted:
            log.info("control answers", accepted=reply.accepted, message=reply.message)
        self._failures = 0
        self.last = reply
        return _SOON_S if again else float(max(1, reply.heartbeat_seconds))

    async def _ask(self) -> HeartbeatReply:
        request = msgspec.json.encode(self._request())
        data = await self._bus.request(subjects.heartbeat(self._executor), request, timeout_s=ANSWER_TIMEOUT_S)
        if len(data) > 2 * MAX_REPLY_BYTES:  # the bound is on assignments; leases and cancellations are small
            raise Refused(f"an answer of {len(data)} bytes", code="heartbeat.reply")
        try:
            return msgspec.json.decode(data, type=HeartbeatReply)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Refused(f"control's answer is not one: {exc}", code="heartbeat.reply") from exc

    def _failed(self, error: AgentplaneError) -> float:
        if self._failures == 0:
            log.warning("heartbeat failed", code=error.code, reason=str(error))
        self._failures += 1
        return min(_LAST_RETRY_S, _FIRST_RETRY_S * (1 << min(self._failures, 6)))
