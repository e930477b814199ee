"""One batch, one transaction: from calls to rows, in two ways that end in the same order.

Known end. The process that appended last knows where the log ends and writes at once, in a single statement that is
its own transaction. The database makes inserting statements take turns (trigger `take_turn`); if somebody else
appended meanwhile, the sequence is taken and the statement fails as a whole. Calls of one event each are placed in one
pass (agentplane.store.singles). A large call is checked in parts while the database stores those before, in several
statements of one transaction; if one of its events is refused, all of it is taken back.

Under the lock. Otherwise the batch takes the append lock first, reads the log's end, and then writes and commits. This
cannot fail on a sequence. A process that lost a race works so for a while, instead of writing in vain again.

The lane. One event that nobody else's waits behind takes the known end without further ceremony
(agentplane.store.lane).

Either way a transaction only ever continues from an end that was committed, and nobody else can: sequences have no
gaps, and their order is the order of commits.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from psycopg import AsyncConnection

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Conflict, Refused
from agentplane.events.model import Append, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store import rows, singles, sql, wire
from agentplane.store.connection import Link, Row
from agentplane.store.entry import Call, Entry, Request, Single, Unchecked
from agentplane.store.lane import Lane
from agentplane.store.ledger import Ledger
from agentplane.store.lookups import ask_versions, known, versions_of
from agentplane.store.wire import Copy
from agentplane.store.writing import write, write_and_commit

FIRST_CHUNK_EVENTS, CHUNK_EVENTS = 100, 150  # of a large call, in one statement
MAX_CACHED_STREAMS: Final = 50_000
POLITE_BATCHES: Final = 32  # after a lost race
UNKNOWN: Final = -1
DAWN: Final = datetime.min.replace(tzinfo=UTC)

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
        self._asked: Copy | None = None  # on behalf of the next batch
        self.forget()

    def forget(self) -> None:
        """Nothing remembered is to be trusted: ask the log again."""
        wire.forget(self._link.idle)
        self._asked = None
        self._head = UNKNOWN
        self._recorded_at = DAWN
        self._versions: dict[StreamId, int] = {}

    async def write(
        self,
        calls: Sequence[Call],
        *,
        careful: bool,
        sent: Callable[[], None] = _nothing,
        following: Callable[[], Sequence[Call]] = tuple,
    ) -> Sequence[Outcome]:
        """Store a batch: an outcome per call, durable when this returns.

        `careful`: look the ids up before writing. `sent` is called when the database has work to do and we have none,
        `following` when it has done it: the calls that `write` is called with next, if that is known already.

        Raises:
            Conflict: another appender was first, or an id is stored already; nothing was written, be careful now.
            Refused: a call that was not checked yet may not be stored. Nothing was written.
            Transient: it may or may not have been stored; be careful now. Others as `connection.translate`.
        """
        self._lane.leave()
        short = None if careful or self._polite else self._singles_of(calls)
        if self._asked is not None and short is None:
            self.forget()
            await self._link.drop()  # it waits for other rows
        try:
            async with self._link.use() as connection:
                if careful or self._polite or self._head == UNKNOWN:
                    self._polite = max(0, self._polite - 1)
                    return await self._under_lock(connection, _whole(calls), careful=careful)
                if short is not None:
                    outcomes = await self._singles(connection, short, sent)
                    self._expect(connection, following())
                    return outcomes
                return await self._at_known_end(connection, calls, sent)
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
        if connection is None or self._polite or self._head == UNKNOWN or not isinstance(call, Single):
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

    def _next_entry(self, call: Single) -> Entry | None:
        """The row of an event that fits the end that is known."""
        append, prepared = call.append, call.prepared
        version = self._versions.get(append.stream)
        if version is None or append.expected_version not in (None, version):
            return None
        stored = StoredEvent(
            event=prepared.event, sequence=self._head + 1, stream_version=version + 1, recorded_at=self._now()
        )
        return Entry(stored, prepared.data, prepared.digest, prepared.tail)

    async def _at_known_end(
        self, connection: AsyncConnection[Row], calls: Sequence[Call], sent: Callable[[], None]
    ) -> Sequence[Outcome]:
        unseen = self._unseen(calls)
        if unseen:
            self._versions.update(await versions_of(await ask_versions(connection, unseen), unseen))
        first = calls[0]
        if len(calls) == 1 and isinstance(first, Unchecked):
            return await self._stream(connection, first, sent)
        requests = _whole(calls)
        outcomes, ledger = self._place(requests, {})
        if any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            return await self._under_lock(connection, requests, careful=True)  # true, or is our memory old?
        await write(connection, ledger.entries, sent)
        self._remember(ledger)
        return outcomes

    def _expect(self, connection: AsyncConnection[Row], calls: Sequence[Call]) -> None:
        """Have the database prepare for the next batch."""
        if self._singles_of(calls) is not None:
            self._asked = Copy(connection)
            self._asked.ask()

    def _singles_of(self, calls: Sequence[Call]) -> Sequence[Single] | None:
        """The calls if they are several of one event each, in streams that are known."""
        return calls if len(calls) > 1 and singles.are_known(calls, self._versions) else None

    async def _singles(
        self, connection: AsyncConnection[Row], calls: Sequence[Single], sent: Callable[[], None]
    ) -> Sequence[Outcome]:
        """Calls of one event each: they are placed while the database prepares to take them."""
        copy, self._asked = self._asked, None
        if copy is None or not copy.is_on(connection):
            copy = Copy(connection)
            copy.ask()
        placed = singles.place(calls, self._head, self._now(), self._versions)
        encoded = b"" if placed is None else placed.encoded()
        await copy.begin()
        if placed is None:  # a conflict; true, or is our memory old?
            await copy.abandon(b"looking closer")
            return await self._under_lock(connection, _whole(calls), careful=True)
        copy.send(encoded)
        sent()
        outcomes = placed.outcomes()
        await copy.finish()
        self._head, self._recorded_at = placed.head + len(calls), placed.recorded_at
        self._versions.update(placed.versions)
        return outcomes

    async def _stream(
        self, connection: AsyncConnection[Row], call: Unchecked, sent: Callable[[], None]
    ) -> Sequence[Outcome]:
        """One large call: the database stores some of its events while the next ones are checked."""
        ledger = self._ledger((call,), {})
        statements = wire.Statements(connection)
        placed: list[StoredEvent] = []
        try:
            for more in _checking(call, ledger, placed):
                await statements.send(rows.copy_rows(ledger.take()), last=not more)
        except Conflict:  # true, or is our memory old?
            await statements.take_back()
            return await self._under_lock(connection, [call.whole()], careful=True)
        await statements.finish(sent)
        self._remember(ledger)
        return [tuple(placed)]

    async def _under_lock(
        self, connection: AsyncConnection[Row], requests: Sequence[Request], *, careful: bool
    ) -> list[Outcome]:
        unseen = self._unseen(requests)
        async with connection.pipeline():
            await connection.execute("BEGIN")
            entered = await connection.execute(sql.ENTER, binary=True)
            asked = await ask_versions(connection, unseen)
        head, recorded_at = await entered.fetchone() or (0, None)
        if head != self._head:  # somebody else appended: what is remembered is old
            self._versions.clear()
            unseen = self._unseen(requests)
            asked = await ask_versions(connection, unseen)
        self._versions.update(await versions_of(asked, unseen))
        self._head, self._recorded_at = head, recorded_at or DAWN
        outcomes, ledger = self._place(requests, await known(connection, requests) if careful else {})
        if not careful and any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            outcomes, ledger = self._place(requests, await known(connection, requests))
        await write_and_commit(connection, ledger.entries)
        self._remember(ledger)
        return outcomes

    def _unseen(self, requests: Sequence[Call]) -> list[StreamId]:
        streams = {append.stream for call in requests for append in _appends(call)}
        return [stream for stream in streams if stream not in self._versions]

    def _now(self) -> datetime:
        return max(self._clock.now(), self._recorded_at)

    def _ledger(self, requests: Sequence[Request | Unchecked], known: dict[EventId, Entry]) -> Ledger:
        versions = {append.stream: self._versions[append.stream] for call in requests for append in call.appends}
        return Ledger(head=self._head, recorded_at=self._now(), versions=versions, known=known)

    def _place(self, requests: Sequence[Request], known: dict[EventId, Entry]) -> tuple[list[Outcome], Ledger]:
        ledger = self._ledger(requests, known)
        return [_outcome(ledger, request) for request in requests], ledger

    def _remember(self, ledger: Ledger) -> None:
        self._head, self._recorded_at = ledger.head, ledger.recorded_at
        if len(self._versions) > MAX_CACHED_STREAMS:
            self._versions.clear()
        self._versions.update(ledger.versions)


def _whole(calls: Sequence[Call]) -> list[Request]:
    """Raises Refused: a call that was not checked yet may not be stored."""
    return [call.whole() for call in calls]


def _appends(call: Call) -> tuple[Append, ...]:
    return (call.append,) if isinstance(call, Single) else call.appends


def _checking(call: Unchecked, ledger: Ledger, placed: list[StoredEvent]) -> Iterator[bool]:
    """Check and place the events of a call in order; yields after each chunk whether there are more."""
    left, chunk = sum(len(append.events) for append in call.appends), FIRST_CHUNK_EVENTS
    for append in call.appends:
        ledger.expect(append)
        for event in append.events:
            placed.append(ledger.enter(append.stream, call.check(append.stream, event, call.latest)))
            left, chunk = left - 1, chunk - 1
            if not chunk or not left:
                yield left > 0
                chunk = CHUNK_EVENTS


def _outcome(ledger: Ledger, request: Request) -> Outcome:
    try:
        return ledger.place(request)
    except Conflict as exc:
        return exc
