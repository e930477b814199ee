"""One batch, one transaction: from calls to rows, in two ways that end in the same order.

Known end. The process that appended last knows where the log ends and writes at once, in a single statement that is
its own transaction. The database makes inserting statements take turns (trigger `take_turn`); if somebody else
appended meanwhile, the sequence is taken and the statement fails as a whole.

Under the lock. Otherwise the batch takes the append lock first, reads the log's end, and then writes and commits. This
cannot fail on a sequence. A process that lost a race works so for a while, instead of writing in vain again.

Either way a transaction only ever continues from an end that was committed, and nobody else can: sequences have no
gaps, and their order is the order of commits.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import AsyncConnection

from agentplane.clock import Clock
from agentplane.errors import AgentplaneError, Conflict
from agentplane.events.model import StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.store import sql
from agentplane.store.connection import Link, Row
from agentplane.store.ledger import Entry, Ledger
from agentplane.store.prepare import Request
from agentplane.store.rows import copy_data

MAX_CACHED_STREAMS: Final = 50_000
POLITE_BATCHES: Final = 32  # after a lost race
UNKNOWN: Final = -1
DAWN: Final = datetime.min.replace(tzinfo=UTC)

Outcome = tuple[StoredEvent, ...] | AgentplaneError


class BatchWriter:
    """Writes batches over one connection, and remembers where the log ended and how long its streams are."""

    def __init__(self, conninfo: str, clock: Clock) -> None:
        self._link = Link(conninfo)
        self._clock = clock
        self._polite = 0
        self.forget()

    def forget(self) -> None:
        """Nothing remembered is to be trusted: ask the log again."""
        self._head = UNKNOWN
        self._recorded_at = DAWN
        self._versions: dict[StreamId, int] = {}

    async def write(self, requests: list[Request], *, careful: bool) -> list[Outcome]:
        """Store a batch: an outcome per call, durable when this returns. `careful`: look the ids up before writing.

        Raises:
            Conflict: another appender was first, or an id is stored already; nothing was written, be careful now.
            Transient: it may or may not have been stored; be careful now. Others as `connection.translate`.
        """
        try:
            async with self._link.use() as connection:
                if careful or self._polite or self._head == UNKNOWN:
                    self._polite = max(0, self._polite - 1)
                    return await self._under_lock(connection, requests, careful=careful)
                return await self._at_known_end(connection, requests)
        except Conflict:
            self._polite = POLITE_BATCHES
            self.forget()
            raise
        except BaseException:
            self.forget()
            raise

    async def close(self) -> None:
        """Disconnect."""
        await self._link.drop()

    async def _at_known_end(self, connection: AsyncConnection[Row], requests: list[Request]) -> list[Outcome]:
        unseen = self._unseen(requests)
        if unseen:
            self._versions.update(await _versions(await _ask_versions(connection, unseen), unseen))
        outcomes, ledger = self._place(requests, {})
        if any(isinstance(outcome, AgentplaneError) for outcome in outcomes):
            return await self._under_lock(connection, requests, careful=True)  # true, or is our memory old?
        await _write(connection, ledger.entries)
        self._remember(ledger)
        return outcomes

    async def _under_lock(
        self, connection: AsyncConnection[Row], requests: list[Request], *, careful: bool
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
        await _write(connection, ledger.entries, commit=True)
        self._remember(ledger)
        return outcomes

    def _unseen(self, requests: list[Request]) -> list[StreamId]:
        streams = {append.stream for request in requests for append in request.appends}
        return [stream for stream in streams if stream not in self._versions]

    def _place(self, requests: list[Request], known: dict[EventId, Entry]) -> tuple[list[Outcome], Ledger]:
        now = max(self._clock.now(), self._recorded_at)
        ledger = Ledger(head=self._head, recorded_at=now, versions=self._versions, known=known)
        return [_outcome(ledger, request) for request in requests], ledger

    def _remember(self, ledger: Ledger) -> None:
        if ledger.entries:
            self._head = ledger.head
            self._recorded_at = ledger.entries[-1].stored.recorded_at
        self._versions = ledger.versions if len(ledger.versions) <= MAX_CACHED_STREAMS else {}


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


async def _known(connection: AsyncConnection[Row], requests: list[Request]) -> dict[EventId, Entry]:
    ids = [prepared.event.id for request in requests for events in request.prepared for prepared in events]
    found = await connection.execute(sql.KNOWN, [ids], binary=True)
    return {entry.stored.event.id: entry for entry in map(sql.entry_of, await found.fetchall())}


async def _write(connection: AsyncConnection[Row], entries: list[Entry], *, commit: bool = False) -> None:
    """Write, and end the transaction that was begun. One row: a prepared INSERT; more: a binary COPY."""
    if len(entries) == 1 and commit:
        async with connection.pipeline():  # COPY cannot travel in a pipeline, one INSERT and its COMMIT can
            await connection.execute(sql.INSERT, sql.row_of(entries[0]))
            await connection.execute("COMMIT")
        return
    if len(entries) == 1:
        await connection.execute(sql.INSERT, sql.row_of(entries[0]))
    elif entries:
        async with connection.cursor() as cursor, cursor.copy(sql.COPY) as copy:
            await copy.write(copy_data(entries))
    if commit:
        await connection.execute("COMMIT")
