"""The one writer of a process: waiting appends are gathered into one transaction (group commit).

A connection that breaks leaves open whether its batch was committed. The batch is then run again on a new connection,
looking up its ids under the append lock. If the old transaction still lives and has written, it holds that lock until
it has ended; if it has not written yet, it will find its sequences taken. So the answer is final: what was stored is
returned as stored, the rest is stored now; nothing twice, nothing lost.
"""

import asyncio
from collections import deque
from typing import Final

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Broken, Conflict, Refused, Transient
from agentplane.events.model import StoredEvent
from agentplane.store.batch import BatchWriter, Outcome
from agentplane.store.prepare import Request

MAX_BATCH_EVENTS: Final = 1000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING_EVENTS: Final = 20_000
BATCH_TIMEOUT_S: Final = 30.0
RETRY_DELAY_S: Final = 0.1


class _Waiting:
    """A call and the future of its answer."""

    __slots__ = ("events", "future", "request", "size_bytes")

    def __init__(self, request: Request, future: "asyncio.Future[tuple[StoredEvent, ...]]") -> None:
        self.request = request
        self.future = future
        self.events = self.size_bytes = 0
        for events in request.prepared:
            self.events += len(events)
            for prepared in events:
                self.size_bytes += len(prepared.data)

    def answer(self, outcome: Outcome) -> None:
        """Tell the caller, who may have gone."""
        if self.future.done():
            return
        if isinstance(outcome, AgentplaneError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class Appender:
    """Gathers calls, commits them together, answers each."""

    def __init__(self, conninfo: str, clock: Clock, *, patience_s: float = 5.0) -> None:
        """`patience_s`: how long a batch waits for a database that is away before its callers hear Transient."""
        self._writer = BatchWriter(conninfo, clock)
        self._patience_s = patience_s
        self._waiting: deque[_Waiting] = deque()
        self._waiting_events = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def append(self, request: Request) -> tuple[StoredEvent, ...]:
        """Store one call's events. Raises Conflict, Refused, Denied, Transient, Broken as the port says."""
        if self._closing:
            raise Transient("the store is closing", code="store.closed")
        if self._waiting_events >= MAX_WAITING_EVENTS:
            raise Transient(f"{self._waiting_events} events already wait to be stored", code="store.overloaded")
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_events += waiting.events
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="store-appender")
        self._wake.set()
        return await waiting.future

    async def close(self) -> None:
        """Store what waits, then disconnect."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._writer.close()

    async def _run(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                await self._wake.wait()
                self._wake.clear()
                continue
            await asyncio.sleep(0)  # callers that were just answered come back with their next call: one batch, not two
            batch = self._take()
            try:
                await self._commit(batch)
            except Exception as exc:  # noqa: BLE001 - the writer's loop: callers hear of a defect, the loop lives on
                error = Broken(f"the appender failed: {type(exc).__name__}: {exc}", code="store.broken")
                error.__cause__ = exc
                self._answer_all(batch, error)
            except asyncio.CancelledError:
                self._answer_all([*batch, *self._waiting], Transient("the store was stopped", code="store.closed"))
                raise

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        events = size_bytes = 0
        while self._waiting:
            first = self._waiting[0]
            full = events + first.events > MAX_BATCH_EVENTS or size_bytes + first.size_bytes > MAX_BATCH_BYTES
            if batch and full:
                break
            batch.append(self._waiting.popleft())
            events += first.events
            size_bytes += first.size_bytes
        self._waiting_events -= events
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch, however often the connection breaks, until patience ends."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        careful = False
        while True:
            try:
                outcomes = await self._attempt(batch, careful=careful)
            except Conflict as exc:  # another appender was first, or an id is stored already: look before writing
                if careful:
                    return await self._isolate(batch, exc)
                careful = True
            except Transient as exc:
                careful = True
                if loop.time() >= deadline:
                    return self._give_up(batch, exc)
                await asyncio.sleep(RETRY_DELAY_S)
            except AgentplaneError as exc:
                return await self._isolate(batch, exc)
            else:
                for waiting, outcome in zip(batch, outcomes, strict=True):
                    waiting.answer(outcome)
                return None

    async def _attempt(self, batch: list[_Waiting], *, careful: bool) -> list[Outcome]:
        try:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                return await self._writer.write([waiting.request for waiting in batch], careful=careful)
        except TimeoutError as exc:
            message = f"PostgreSQL gave no answer within {BATCH_TIMEOUT_S:.0f} s"
            raise Transient(message, code="store.unavailable") from exc

    async def _isolate(self, batch: list[_Waiting], error: AgentplaneError) -> None:
        """An error of the whole batch: halves find the call that caused it, and only that one hears of it."""
        if len(batch) == 1 or not isinstance(error, Refused | Conflict):
            return self._answer_all(batch, error)
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        return await self._commit(batch[middle:])

    def _give_up(self, batch: list[_Waiting], cause: Transient) -> None:
        """The database stays away: nobody should wait behind this batch either."""
        error = Transient(
            f"{cause.message}; repeat the same call: what was stored is found again",
            code=cause.code,
            hint=cause.hint,
            delay_s=cause.delay_s,
        )
        behind = list(self._waiting)
        self._waiting.clear()
        self._waiting_events = 0
        self._answer_all([*batch, *behind], error)

    def _answer_all(self, batch: list[_Waiting], error: AgentplaneError) -> None:
        for waiting in batch:
            waiting.answer(error)
