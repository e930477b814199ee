"""The one writer of a process: waiting appends are gathered into one transaction (group commit).

The append lock is held once per batch, from reading the log's end to the commit; so the order of sequences is the
order of commits among any number of processes, without gaps, and a reader that has seen n will never see n - 1 appear.

A connection that breaks leaves open whether its batch was committed. The batch is then run again on a new
connection, looking up its ids first: the old transaction, if it still lives, holds the lock until it has ended, so the
answer is final. What was stored is returned as stored, the rest is stored now; nothing twice, nothing lost.
"""

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import AsyncConnection

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Broken, Conflict, Refused, Transient
from agentplane.events.model import StoredEvent, StreamId
from agentplane.store import sql
from agentplane.store.connection import Link, Row
from agentplane.store.ledger import Entry, Ledger
from agentplane.store.prepare import Request

MAX_BATCH_EVENTS: Final = 1000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING_EVENTS: Final = 20_000
MAX_CACHED_STREAMS: Final = 50_000
BATCH_TIMEOUT_S: Final = 30.0
RETRY_DELAY_S: Final = 0.1

Outcome = tuple[StoredEvent, ...] | AgentplaneError


class _Waiting:
    """A call and the future of its answer."""

    __slots__ = ("events", "future", "request", "size_bytes")

    def __init__(self, request: Request, future: "asyncio.Future[tuple[StoredEvent, ...]]") -> None:
        self.request = request
        self.future = future
        self.events = sum(len(events) for events in request.prepared)
        self.size_bytes = sum(len(prepared.data) for events in request.prepared for prepared in events)

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
        self._link = Link(conninfo)
        self._clock = clock
        self._patience_s = patience_s
        self._waiting: deque[_Waiting] = deque()
        self._waiting_events = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._head = -1  # where our last batch ended; what is cached is true only while the log ends there
        self._versions: dict[StreamId, int] = {}

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
        await self._link.drop()

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
            except Conflict as exc:  # a unique index spoke: an id is stored already; look before writing
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
            async with asyncio.timeout(BATCH_TIMEOUT_S), self._link.use() as connection:
                return await self._transaction(connection, [waiting.request for waiting in batch], careful=careful)
        except TimeoutError as exc:
            self._forget()
            raise Transient(
                f"PostgreSQL gave no answer within {BATCH_TIMEOUT_S:.0f} s", code="store.unavailable"
            ) from exc
        except AgentplaneError:
            self._forget()
            raise

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

    async def _transaction(
        self, connection: AsyncConnection[Row], requests: list[Request], *, careful: bool
    ) -> list[Outcome]:
        """One transaction for all the calls: enter, place, write, commit."""
        unseen = list({a.stream for r in requests for a in r.appends if a.stream not in self._versions})
        async with connection.pipeline():
            await connection.execute("BEGIN")
            entered = await connection.execute(sql.ENTER, binary=True)
            asked = await _ask_versions(connection, unseen)
        head, recorded_at = await entered.fetchone() or (0, None)
        if head != self._head:  # somebody else appended: what is cached is old
            self._versions.clear()
            unseen = list({append.stream for request in requests for append in request.appends})
            asked = await _ask_versions(connection, unseen)
        self._versions.update(await _versions(asked, unseen))
        now = max(self._clock.now(), recorded_at or datetime.min.replace(tzinfo=UTC))
        known = await _known(connection, requests) if careful else {}
        outcomes, ledger = _place(requests, self._ledger(head, now, known))
        if not careful and any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            known = await _known(connection, requests)
            outcomes, ledger = _place(requests, self._ledger(head, now, known))
        await _write(connection, ledger.entries)
        self._remember(ledger)
        return outcomes

    def _ledger(self, head: int, now: datetime, known: dict[Any, Entry]) -> Ledger:
        return Ledger(head=head, recorded_at=now, versions=self._versions, known=known)

    def _remember(self, ledger: Ledger) -> None:
        self._head = ledger.head
        self._versions = ledger.versions if len(ledger.versions) <= MAX_CACHED_STREAMS else {}

    def _forget(self) -> None:
        self._head = -1
        self._versions = {}


def _place(requests: list[Request], ledger: Ledger) -> tuple[list[Outcome], Ledger]:
    outcomes: list[Outcome] = []
    for request in requests:
        try:
            outcomes.append(ledger.place(request))
        except Conflict as exc:
            outcomes.append(exc)
    return outcomes, ledger


async def _ask_versions(connection: AsyncConnection[Row], streams: list[StreamId]) -> Any:  # noqa: ANN401 - a cursor or None
    if not streams:
        return None
    columns = [[getattr(stream, column) for stream in streams] for column in ("tenant", "kind", "namespace", "name")]
    return await connection.execute(sql.VERSIONS, columns, binary=True)


async def _versions(asked: Any, streams: list[StreamId]) -> dict[StreamId, int]:  # noqa: ANN401 - a cursor or None
    if asked is None:
        return {}
    return dict(zip(streams, [row[0] for row in await asked.fetchall()], strict=True))


async def _known(connection: AsyncConnection[Row], requests: list[Request]) -> dict[Any, Entry]:
    ids = [prepared.event.id for request in requests for events in request.prepared for prepared in events]
    found = await connection.execute(sql.KNOWN, [ids], binary=True)
    return {entry.stored.event.id: entry for entry in map(sql.entry_of, await found.fetchall())}


async def _write(connection: AsyncConnection[Row], entries: list[Entry]) -> None:
    """Write and commit; COPY cannot travel in a pipeline, one INSERT and its COMMIT can."""
    if len(entries) == 1:
        async with connection.pipeline():
            await connection.execute(sql.INSERT, sql.row_of(entries[0]))
            await connection.execute("COMMIT")
        return
    if entries:
        async with connection.cursor() as cursor, cursor.copy(sql.COPY) as copy:
            copy.set_types(sql.TYPES)
            for entry in entries:
                await copy.write_row(sql.row_of(entry))
    await connection.execute("COMMIT")
