"""Who is alive: heartbeats answered, silence noticed, leases that ran out ended.

When an executor was last heard of is this process's own knowledge. It is worth nothing after a gap in our own attention
(a restart, a stalled process, a bus or a database that was away), so every gap gives all executors a full lease of time
again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import msgspec

from agentplane.bus import subjects
from agentplane.controllers import cancels, heartbeats, leases
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.heartbeats import Standing
from agentplane.controllers.leases import Patience
from agentplane.controllers.records import RunKey
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Refused, Transient
from agentplane.metrics.counters import HEARTBEATS as ANSWERED
from agentplane.runs.protocol import HeartbeatReply, HeartbeatRequest
from services.control.bus import ControlBus
from services.control.runtime import Runtime

log = get_logger()

HEARTBEATS = subjects.heartbeat("X").replace(".X.", ".*.")
_DECODER = msgspec.json.Decoder(HeartbeatRequest)
_REFRESH_S = 0.25
_CONTRADICTIONS = 3


class Vigil:
    """Answers executors and watches over their leases."""

    def __init__(
        self,
        runtime: Runtime,
        bus: ControlBus,
        standing: Callable[[str], Standing],
        *,
        patience: Patience,
        heartbeat_seconds: int,
        clock_limit_s: int = heartbeats.CLOCK_LIMIT_S,
    ) -> None:
        """`standing`: what is thought of an executor; `clock_limit_s`: how far its clock may be off."""
        self._runtime = runtime
        self._bus = bus
        self._standing = standing
        self._patience = patience
        self._heartbeat_seconds = heartbeat_seconds
        self._clock_limit_s = clock_limit_s
        self._heard: dict[str, datetime] = {}
        self._in_hand: Counter[str] = Counter()  # heartbeats that wait for our answer
        self._contradictions: Counter[str] = Counter()  # consecutive heartbeats that contradict the committed journal
        self._complaints: dict[str, str] = {}  # what was last logged of executors that are not accepted
        self._since = runtime.now()  # silence before this says nothing

    def last_heard(self, executor: str) -> datetime:
        """When an executor was last heard of, as far as our attention reaches; now, while it waits for our answer."""
        if self._in_hand[executor]:
            return self._runtime.now()
        return max(self._heard.get(executor, self._since), self._since)

    def heard(self, executor: str) -> datetime | None:
        """When an executor was last heard of by this process; None: not yet."""
        return self._heard.get(executor)

    def forgive(self) -> None:
        """We may have missed heartbeats: everybody's silence counts from now on."""
        self._since = self._runtime.now()

    async def start(self) -> None:
        """Answer heartbeats from now on."""
        self._bus.on_reconnect(self.forgive)
        await self._bus.respond(HEARTBEATS, self.answer, queue="control")

    async def answer(self, subject: str, data: bytes) -> bytes:
        """Answer one heartbeat. Whatever cannot be understood or trusted is told why."""
        try:
            request = _read(subject, data)
        except Refused as malformed:
            ANSWERED.labels("refused").inc()
            return _encode(heartbeats.refuse(malformed, self._heartbeat_seconds))
        await self._runtime.refresh(_REFRESH_S)
        if refused := self._objection(request) or self._contradiction(request):
            self._complain(request.executor, refused)
            ANSWERED.labels("refused").inc()
            return _encode(heartbeats.refuse(refused, self._heartbeat_seconds))
        self._complaints.pop(request.executor, None)
        ANSWERED.labels("accepted").inc()
        with self._waiting(request.executor):
            await self._take_note(request)
        return _encode(heartbeats.reply(self._runtime.state, request, self._heartbeat_seconds))

    @contextmanager
    def _waiting(self, executor: str) -> Iterator[None]:
        """A database that is slow to take what follows makes nobody silent: an executor asks again once answered."""
        self._in_hand[executor] += 1
        try:
            yield
        finally:
            self._in_hand[executor] -= 1
            self._mark(executor)

    async def listen(self) -> None:
        """Notice the heartbeats that another control process answers, until cancelled."""
        async for subject, data in self._bus.subscribe(HEARTBEATS):
            self.notice(subject, data)

    def notice(self, subject: str, data: bytes) -> None:
        """Take note of a heartbeat that may be answered elsewhere, if it is one that counts as a sign of life.

        One that contradicts the committed journal is not: whoever answers it accepts it, or it goes unheard, so that
        leases end of an executor which lost its journal.
        """
        try:
            request = _read(subject, data)
        except Refused:
            return
        record = self._runtime.state.executor(request.executor)
        if not self._objection(request) and not heartbeats.lost_journal(request, record):
            self._mark(request.executor)

    async def watch(self, period_s: float) -> None:
        """End leases whose time is over and note silence, until cancelled."""
        last = self._runtime.now()
        while True:
            await asyncio.sleep(period_s)
            now = self._runtime.now()
            if not self._bus.connected or now - last > timedelta(seconds=3 * period_s):
                self.forgive()
            last = now
            await self.check()

    async def check(self) -> None:
        """Look once at every lease and every executor."""
        state = self._runtime.state
        for run in tuple(state.live_runs()):
            if run.lease is not None:
                await self._settle(self._expiry(run.key), f"lease of {run.key.name}")
        for executor in state.executors():
            await self._settle(self._silence(executor.name), f"executor {executor.name}")

    def _expiry(self, key: RunKey) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            run = state.run(key)
            if run is None or run.lease is None:
                return NOTHING
            name = run.lease.executor
            return leases.expire(
                run, state.executor(name), last_heard=self.last_heard(name), now=now, patience=self._patience
            )

        return decide

    def _silence(self, name: str) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            return leases.watch(
                state.executor(name), last_heard=self.last_heard(name), now=now, patience=self._patience
            )

        return decide

    async def _take_note(self, request: HeartbeatRequest) -> None:
        def decide(state: ControlState, now: datetime) -> Decision:
            executor = state.executor(request.executor)
            return heartbeats.decide(executor, request, now, clock_limit_s=self._clock_limit_s)

        async with self._runtime.turns[request.executor]:
            await self._settle(decide, f"heartbeat of {request.executor}")
        for key in cancels.untaken(self._runtime.state, request):
            await self._settle(self._end_untaken(key, request), f"cancelled run {key.name}")

    def _end_untaken(self, key: RunKey, request: HeartbeatRequest) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            return cancels.end_untaken(state, key, request, now)

        return decide

    async def _settle(self, decide: Callable[[ControlState, datetime], Decision], what: str) -> None:
        try:
            await self._runtime.settle(decide)
        except Transient as error:  # the next heartbeat or tick decides it again
            log.warning("could not be stored", what=what, code=error.code, error=str(error))
            if error.code.startswith("store."):  # our answers wait for the database, and so do their next heartbeats
                self.forgive()
        except AgentplaneError as error:
            log.exception("could not be decided", what=what, code=error.code)

    def _objection(self, request: HeartbeatRequest) -> Refused | None:
        return heartbeats.objection(request, self._standing(request.executor), self._runtime.now())

    def _contradiction(self, request: HeartbeatRequest) -> Refused | None:
        message = heartbeats.lost_journal(request, self._runtime.state.executor(request.executor))
        self._contradictions[request.executor] = self._contradictions[request.executor] + 1 if message else 0
        lasting = self._contradictions[request.executor] >= _CONTRADICTIONS
        return Refused(message, code="executor.journal") if message and lasting else None

    def _complain(self, executor: str, refused: Refused) -> None:
        if self._complaints.get(executor) != refused.message:  # once, not with every heartbeat
            log.warning("executor not accepted", executor=executor, code=refused.code, reason=refused.message)
            self._complaints[executor] = refused.message

    def _mark(self, executor: str) -> None:
        self._heard[executor] = self._runtime.now()


def _read(subject: str, data: bytes) -> HeartbeatRequest:
    try:
        request = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refused(f"not a HeartbeatRequest: {str(exc)[:200]}", code="heartbeat.malformed") from exc
    if request.executor != subjects.executor_of(subject):
        raise Refused("the heartbeat of another executor than its subject's", code="heartbeat.subject")
    return request


def _encode(reply: HeartbeatReply) -> bytes:
    return msgspec.json.encode(reply)
