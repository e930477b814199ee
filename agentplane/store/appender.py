"""The one writer of a process: waiting appends are gathered into one transaction (group commit).

A connection that breaks leaves open whether its batch was committed. The batch is then run again on a new connection,
looking up its ids under the append lock. If the old transaction still lives and has written, it holds that lock until
it has ended; if it has not written yet, it will find its sequences taken. So the answer is final: what was stored is
returned as stored, the rest is stored now; nothing twice, nothing lost.

Callers are answered when what they brought is durable: at once, or (agentplane.store.pace) as soon as the database has
its next batch to work on.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Broken, Conflict, Refused, Transient
from agentplane.events.model import StoredEvent
from agentplane.store.batch import BatchWriter, Outcome
from agentplane.store.entry import Call, Single, Unchecked
from agentplane.store.pace import Pace

MAX_BATCH_EVENTS: Final = 1000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING_EVENTS: Final = 20_000
BATCH_TIMEOUT_S: Final = 30.0
RETRY_DELAY_S: Final = 0.1


class _Waiting:
    """A call and the future of its answer."""

    __slots__ = ("events", "future", "outcome", "request", "size_bytes")

    def __init__(self, request: Call, events: int, future: "asyncio.Future[tuple[StoredEvent, ...]]") -> None:
        self.request = request
        self.events = events
        self.future = future
        self.outcome: Outcome = ()
        self.size_bytes = _size_bytes(request)

    def answer(self) -> None:
        """Tell the caller, who may have gone."""
        if self.future.done():
            return
        outcome = self.outcome
        if type(outcome) is tuple:
            self.future.set_result(outcome)
        elif isinstance(outcome, AgentplaneError):
            self.future.set_exception(outcome)


def _size_bytes(call: Call) -> int:
    if isinstance(call, Single):
        return len(call.prepared.data)
    if isinstance(call, Unchecked):
        return MAX_BATCH_BYTES  # a batch of its own
    return sum([len(each.data) for prepared in call.prepared for each in prepared])


class Appender:
    """Gathers calls, commits them together, answers each."""

    def __init__(self, conninfo: str, clock: Clock, *, patience_s: float = 5.0) -> None:
        """`patience_s`: how long a batch waits for a database that is away before its callers hear Transient."""
        self._writer = BatchWriter(conninfo, clock)
        self._patience_s = patience_s
        self._waiting: deque[_Waiting] = deque()
        self._waiting_events = 0
        self._next: list[_Waiting] = []  # taken already, for the database to prepare for
        self._settled: list[_Waiting] = []  # their outcome is known, their callers are not told yet
        self._pace = Pace()
        self._alone: _Waiting | None = None  # the call that took the short way and has no outcome yet
        self._last_calls = 0  # of the batch before, or the one that is being committed
        self._committing = False
        self._careful = False  # with the next batch
        self._resting = False  # the writer's loop waits for something to do
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def append(self, request: Call, events: int) -> "asyncio.Future[tuple[StoredEvent, ...]]":
        """Store one call of so many events. Raises, or the future does, what the port says.

        A future instead of a coroutine: many wait here, and each frame costs them.
        """
        if self._closing:
            raise Transient("the store is closing", code="store.closed")
        if self._waiting_events >= MAX_WAITING_EVENTS:
            raise Transient(f"{self._waiting_events} events already wait to be stored", code="store.overloaded")
        if self._task is None or self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._run(), name="store-appender")
        waiting = _Waiting(request, events, self._loop.create_future())
        if not self._dispatch(waiting):
            self._waiting.append(waiting)
            self._waiting_events += events
            if self._alone is None:
                self._wake.set()
        return waiting.future

    def _dispatch(self, waiting: _Waiting) -> bool:
        """Take the short way, when nobody else is there."""
        if not self._resting or self._alone is not None or self._waiting or self._last_calls > 1:
            return False
        self._alone = waiting
        if waiting.events == 1 and self._writer.dispatch(waiting.request, self._arrived):
            return True
        self._alone = None
        return False

    def _arrived(self, outcome: Outcome | None) -> None:
        """What became of the call that went alone."""
        waiting, self._alone = self._alone, None
        if waiting is None:
            return
        if outcome is None:
            self._careful = True
            self._waiting.appendleft(waiting)
            self._waiting_events += waiting.events
            self._wake.set()
            return
        waiting.outcome = outcome
        if self._waiting or self._closing:
            self._settled.append(waiting)
            self._wake.set()
        else:
            waiting.answer()

    async def close(self) -> None:
        """Store what waits, then disconnect."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        await self._writer.close()

    async def _run(self) -> None:
        while self._next or self._waiting or self._settled or self._alone or not self._closing:
            if not self._next and not (self._waiting and self._pace.overlaps):
                self._tell()
                self._resting = True
                await asyncio.sleep(0)  # callers that were just answered come back with their next call
                self._resting = False
            if not self._next and (self._alone or not self._waiting):
                await self._pause()
                continue
            batch, self._next = self._next or self._take(), []
            self._last_calls = len(batch)
            try:
                await self._commit(batch)
            except Exception as exc:  # noqa: BLE001 - the writer's loop: callers hear of a defect, the loop lives on
                error = Broken(f"the appender failed: {type(exc).__name__}: {exc}", code="store.broken")
                error.__cause__ = exc
                self._settle_all(batch, error)
            except asyncio.CancelledError:
                stopped = Transient("the store was stopped", code="store.closed")
                self._settle_all([*batch, *self._next, *self._waiting], stopped)
                self._tell()
                raise
            self._pace.committed()

    async def _pause(self) -> None:
        self._pace.paused()
        while self._alone or not (self._waiting or self._closing):
            self._wake.clear()
            self._resting = True
            await self._wake.wait()
            self._resting = False

    def _tell(self) -> None:
        """Answer the callers of the batch before: they go on while the database has the next one."""
        settled, self._settled = self._settled, []
        for waiting in settled:
            waiting.answer()

    def _sent(self) -> None:
        """The database has a batch to work on: let the callers of the one before go on, and take what they bring."""
        self._tell()
        if self._loop is not None:
            self._loop.call_soon(self._gather)  # after the callers, who were called just now

    def _gather(self) -> None:
        if self._committing and not self._next and self._waiting and self._pace.overlaps:
            self._next = self._take(self._last_calls)

    def _following(self) -> Sequence[Call]:
        """The next batch, for the database to prepare for it while the outcomes of this one are noted."""
        if self._next and self._waiting:  # more have come
            self._waiting.extendleft(reversed(self._next))
            self._waiting_events += sum([each.events for each in self._next])
            self._next = []
        self._gather()
        return [waiting.request for waiting in self._next]

    def _take(self, settled: int = 0) -> list[_Waiting]:
        """`settled`: calls whose outcome is known, but not noted yet."""
        batch: list[_Waiting] = []
        events = size_bytes = 0
        calls = self._pace.share(len(self._waiting), settled + len(self._settled))
        while self._waiting and len(batch) < calls:
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
        careful, self._careful = self._careful, False
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
                    waiting.outcome = outcome
                self._tell()  # the ones before, if nobody has yet
                self._settled = batch
                return None

    async def _attempt(self, batch: list[_Waiting], *, careful: bool) -> Sequence[Outcome]:
        try:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                requests = [waiting.request for waiting in batch]
                self._committing = True
                return await self._writer.write(requests, careful=careful, sent=self._sent, following=self._following)
        except TimeoutError as exc:
            message = f"PostgreSQL gave no answer within {BATCH_TIMEOUT_S:.0f} s"
            raise Transient(message, code="store.unavailable") from exc
        finally:
            self._committing = False

    async def _isolate(self, batch: list[_Waiting], error: AgentplaneError) -> None:
        """An error of the whole batch: halves find the call that caused it, and only that one hears of it."""
        if len(batch) == 1 or not isinstance(error, Refused | Conflict):
            return self._settle_all(batch, error)
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
        behind, self._next = [*self._next, *self._waiting], []
        self._waiting.clear()
        self._waiting_events = 0
        self._settle_all([*batch, *behind], error)

    def _settle_all(self, batch: list[_Waiting], error: AgentplaneError) -> None:
        for waiting in batch:
            waiting.outcome = error
        self._settled += batch
