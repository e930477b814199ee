"""One batch, one transaction: from calls to rows, in two ways that end in the same order.

Known end. The process that appended last knows where the log ends and writes at once, in a single statement that is
its own transaction. The database makes inserting statements take turns (trigger `take_turn`); if somebody else
appended meanwhile, the sequence is taken and the statement fails as a whole. A large call is checked event by event
while the database takes those before; if one of them is refused, the statement is taken back.

Under the lock. Otherwise the batch takes the append lock first, reads the log's end, and then writes and commits. This
cannot fail on a sequence. A process that lost a race works so for a while, instead of writing in vain again.

The lane. One event that nobody else's waits behind takes the known end without further ceremony
(agentplane.store.lane).

Either way a transaction only ever continues from an end that was committed, and nobody else can: sequences have no
gaps, and their order is the order of commits.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import AsyncConnection

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Conflict, Refused
from agentplane.events.model import StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store import rows, sql, wire
from agentplane.store.connection import Link, Row
from agentplane.store.lane import Lane
from agentplane.store.ledger import Entry, Ledger
from agentplane.store.prepare import Request, Unchecked
from agentplane.store.wire import Copy, insert, insert_and_commit

CHUNK_EVENTS: Final = 64  # of a large call, sent together
MAX_CACHED_STREAMS: Final = 50_000
POLITE_BATCHES: Final = 32  # after a lost race
UNKNOWN: Final = -1
DAWN: Final = datetime.min.replace(tzinfo=UTC)

Call = Request | Unchecked
Outcome = tuple[StoredEvent, ...] | AgentplaneError


def _nothing() -> None:
    """What there is to do while the database works: nothing."""


class BatchWriter:
    """Writes batches over one connection, and remembers where the log ended and how long its streams are."""

    def __init__(self, conninfo: str, clock: Clock) -> None:
        self._link = Link(conninfo)
        self._clock = clock
        self._polite = 0
        self._lane = Lane()
        self.forget()

    def forget(self) -> None:
        """Nothing remembered is to be trusted: ask the log again."""
        wire.forget(self._link.idle)
        self._head = UNKNOWN
        self._recorded_at = DAWN
        self._versions: dict[StreamId, int] = {}

    async def write(
        self, requests: Sequence[Call], *, careful: bool, sent: Callable[[], None] = _nothing
    ) -> list[Outcome]:
        """Store a batch: an outcome per call, durable when this returns.

        `careful`: look the ids up before writing. `sent` is called when the database has work to do and we have none.

        Raises:
            Conflict: another appender was first, or an id is stored already; nothing was written, be careful now.
            Refused: a call that was not checked yet may not be stored. Nothing was written.
            Transient: it may or may not have been stored; be careful now. Others as `connection.translate`.
        """
        self._lane.leave()
        try:
            async with self._link.use() as connection:
                if careful or self._polite or self._head == UNKNOWN:
                    self._polite = max(0, self._polite - 1)
                    return await self._under_lock(connection, _checked(requests), careful=careful)
                return await self._at_known_end(connection, requests, sent)
        except Conflict:
            self._polite = POLITE_BATCHES
            self.forget()
            raise
        except Refused:
            raise
        except BaseException:
            self.forget()
            raise

    async def close(self) -> None:
        """Disconnect."""
        self._lane.leave()
        await self._link.drop()

    def dispatch(self, call: Call, done: Callable[[Outcome | None], None]) -> bool:
        """Send a call of one event at once; `done` hears what became of it, None: write it again, carefully.

        False: something has to be found out first; nothing was sent.
        """
        connection = self._link.idle
        if connection is None or self._polite or self._head == UNKNOWN or isinstance(call, Unchecked):
            return False
        entry = self._next_entry(call)
        if entry is None:
            return False
        stored = entry.stored

        def settled(durable: bool) -> None:  # noqa: FBT001 - the lane's answer
            if durable:
                self._head, self._recorded_at = stored.sequence, stored.recorded_at
                self._versions[stored.event.stream] = stored.stream_version
                return done((stored,))
            self._polite = POLITE_BATCHES
            self.forget()
            return done(None)

        return self._lane.send(connection, rows.values(entry), settled)

    def _next_entry(self, request: Request) -> Entry | None:
        """The row of a call that is one event which fits the end that is known."""
        if len(request.prepared) != 1 or len(request.prepared[0]) != 1:
            return None
        append, prepared = request.appends[0], request.prepared[0][0]
        version = self._versions.get(append.stream)
        if version is None or append.expected_version not in (None, version):
            return None
        stored = StoredEvent(
            event=prepared.event,
            sequence=self._head + 1,
            stream_version=version + 1,
            recorded_at=max(self._clock.now(), self._recorded_at),
        )
        return Entry(stored, prepared.data, prepared.digest, prepared.tail)

    async def _at_known_end(
        self, connection: AsyncConnection[Row], requests: Sequence[Call], sent: Callable[[], None]
    ) -> list[Outcome]:
        unseen = self._unseen(requests)
        if unseen:
            self._versions.update(await _versions(await _ask_versions(connection, unseen), unseen))
        first = requests[0]
        if len(requests) == 1 and isinstance(first, Unchecked):
            return await self._stream(connection, first, sent)
        checked = _checked(requests)
        outcomes, ledger = self._place(checked, {})
        if any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            return await self._under_lock(connection, checked, careful=True)  # true, or is our memory old?
        await _write(connection, ledger.entries, sent)
        self._remember(ledger)
        return outcomes

    async def _stream(
        self, connection: AsyncConnection[Row], call: Unchecked, sent: Callable[[], None]
    ) -> list[Outcome]:
        """One large call: the database stores its first events while the next ones are checked."""
        ledger = self._ledger((call,), {})
        copy = Copy(connection)
        await copy.begin()
        placed: list[StoredEvent] = []
        try:
            copy.send(rows.SIGNATURE)
            for append in call.appends:
                ledger.expect(append)
                for start in range(0, len(append.events), CHUNK_EVENTS):
                    mark = len(ledger.entries)
                    chunk = append.events[start : start + CHUNK_EVENTS]
                    placed += [ledger.enter(append.stream, call.check_one(append.stream, each)) for each in chunk]
                    copy.send(rows.copy_rows(ledger.entries[mark:]))
                    await asyncio.sleep(0)  # others have their turn
            copy.send(rows.END)
        except Conflict:  # true, or is our memory old?
            await copy.abandon(b"looking closer")
            return await self._under_lock(connection, [call.check()], careful=True)
        except AgentplaneError as error:
            await copy.abandon(error.code.encode())
            raise
        await copy.finish(sent)
        self._remember(ledger)
        return [tuple(placed)]

    async def _under_lock(
        self, connection: AsyncConnection[Row], requests: Sequence[Request], *, careful: bool
    ) -> list[Outcome]:
        unseen = self._unseen(requests)
        async with connection.pipeline():
            await connection.execute("BEGIN")
            entered = await connection.execute(sql.ENTER, binary=True)
            asked = await _ask_versions(connection, unseen)
        head, recorded_at = await entered.fetchone() or (0, None)
        if head != self._head:  # somebody else appended: what is remembered is old
            self._versions.clear()
            unseen = self._unseen(requests)
            asked = await _ask_versions(connection, unseen)
        self._versions.update(await _versions(asked, unseen))
        self._head, self._recorded_at = head, recorded_at or DAWN
        outcomes, ledger = self._place(requests, await _known(connection, requests) if careful else {})
        if not careful and any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            outcomes, ledger = self._place(requests, await _known(connection, requests))
        await _write_and_commit(connection, ledger.entries)
        self._remember(ledger)
        return outcomes

    def _unseen(self, requests: Sequence[Call]) -> list[StreamId]:
        streams = {append.stream for request in requests for append in request.appends}
        return [stream for stream in streams if stream not in self._versions]

    def _ledger(self, requests: Sequence[Call], known: dict[EventId, Entry]) -> Ledger:
        now = max(self._clock.now(), self._recorded_at)
        versions = {append.stream: self._versions[append.stream] for call in requests for append in call.appends}
        return Ledger(head=self._head, recorded_at=now, versions=versions, known=known)

    def _place(self, requests: Sequence[Request], known: dict[EventId, Entry]) -> tuple[list[Outcome], Ledger]:
        ledger = self._ledger(requests, known)
        return [_outcome(ledger, request) for request in requests], ledger

    def _remember(self, ledger: Ledger) -> None:
        if ledger.entries:
            self._head = ledger.head
            self._recorded_at = ledger.entries[-1].stored.recorded_at
        if len(self._versions) > MAX_CACHED_STREAMS:
            self._versions.clear()
        self._versions.update(ledger.versions)


def _checked(requests: Sequence[Call]) -> list[Request]:
    """Raises Refused: a call that was not checked yet may not be stored."""
    return [request.check() if isinstance(request, Unchecked) else request for request in requests]


def _outcome(ledger: Ledger, request: Request) -> Outcome:
    try:
        return ledger.place(request)
    except Conflict as exc:
        return exc


async def _ask_versions(connection: AsyncConnection[Row], streams: list[StreamId]) -> Any:  # noqa: ANN401 - a cursor or None
    if not streams:
        return None
    columns = [[getattr(stream, column) for stream in streams] for column in ("tenant", "kind", "namespace", "name")]
    return await connection.execute(sql.VERSIONS, columns, binary=True)


async def _versions(asked: Any, streams: Iterable[StreamId]) -> dict[StreamId, int]:  # noqa: ANN401 - a cursor or None
    if asked is None:
        return {}
    return dict(zip(streams, [row[0] for row in await asked.fetchall()], strict=True))


async def _known(connection: AsyncConnection[Row], requests: Sequence[Request]) -> dict[EventId, Entry]:
    ids = [prepared.event.id for request in requests for events in request.prepared for prepared in events]
    found = await connection.execute(sql.KNOWN, [ids], binary=True)
    return {entry.stored.event.id: entry for entry in map(sql.entry_of, await found.fetchall())}


async def _write(connection: AsyncConnection[Row], entries: list[Entry], sent: Callable[[], None]) -> None:
    """Write, in a transaction that is the one statement. One row: a prepared INSERT; more: a binary COPY."""
    if len(entries) == 1:
        await insert(connection, rows.values(entries[0]), sent)
    elif entries:
        await _copy(connection, entries, sent)


async def _write_and_commit(connection: AsyncConnection[Row], entries: list[Entry]) -> None:
    """Write, and end the transaction that was begun. COPY cannot travel in a pipeline, an INSERT and its COMMIT can."""
    if len(entries) == 1:
        return await insert_and_commit(connection, rows.values(entries[0]))
    if entries:
        await _copy(connection, entries, _nothing)
    await connection.execute("COMMIT")
    return None


async def _copy(connection: AsyncConnection[Row], entries: list[Entry], sent: Callable[[], None]) -> None:
    copy = Copy(connection)
    await copy.begin()
    copy.send(b"".join((rows.SIGNATURE, rows.copy_rows(entries), rows.END)), more=False)
    await copy.finish(sent)
