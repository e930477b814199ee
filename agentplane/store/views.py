"""Keeping the read models: followers of the log, never of the bus.

A position is a sequence, and whatever wakes us is only a hint. A projector killed between any two statements has lost
nothing; two of them at once take turns at the row locks of the checkpoints. Commits do not wait for the disk: a crash
of the server may set views back, together with their checkpoints, and they are folded again.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from psycopg import AsyncConnection

from agentplane.errors import Conflict, NotFound
from agentplane.projections.engine import PROJECTIONS, Projection, passes_by
from agentplane.projections.status import Poison, Rebuilt, Status
from agentplane.store import view_tables as tables
from agentplane.store.connection import Link, Row
from agentplane.store.projecting import Events, pass_by, prepare, read, step
from agentplane.store.rebuilding import rebuild
from agentplane.store.view_tables import REBUILD_SUFFIX

log = structlog.get_logger(__name__)

BATCH: Final = 256  # events per transaction when behind
_LOCK: Final = 4702111234474983747


class ViewStore:
    """The read models in PostgreSQL, as the role agentplane_project."""

    def __init__(
        self, conninfo: str, projections: Sequence[Projection] = tuple(PROJECTIONS.values()), *, batch: int = BATCH
    ) -> None:
        """`batch`: events per transaction."""
        self._batch = batch
        self._projections = {each.name: each for each in projections}
        self._link = Link(conninfo, durable=False)  # view and checkpoint go together: what is lost is folded again
        self._turn = asyncio.Lock()
        self._positions: dict[str, int] = {}  # as of our last step; the truth is the checkpoint
        self._stopped: set[str] = set()
        self._page: tuple[int, Events] | None = None  # read once for all projections that stand at the same place
        self._known: AsyncConnection[Row] | None = None  # the connection that we knew these positions by
        self._rebuild_link = Link(conninfo)
        self._rebuilding = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all projections that are kept here."""
        return tuple(self._projections)

    async def prepare(self) -> bool:
        """Make the tables; begin anew those of an older version; let a stopped projection try once more. Always True.

        Raises:
            Transient, Denied, Broken: as `agentplane.store.connection.connect`.
        """
        async with self._turn, self._link.use() as connection, connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit TO on")  # tables are not folded again
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            await connection.execute(tables.CHECKPOINTS)
            await connection.execute(tables.CHECKPOINTS_SINCE)
            await connection.execute("GRANT SELECT ON views.checkpoints TO agentplane_read")
            for projection in self._projections.values():
                await prepare(connection, projection)
        self._positions.clear()
        self._stopped.clear()
        return True

    async def step(self, name: str) -> int:
        """Fold the next batch of events into one projection; how many. 0: it is up to date, or stopped.

        Raises:
            Transient: the database is away; nothing of the batch was kept.
        """
        if name in self._stopped:
            return 0
        async with self._turn, self._link.use() as connection:
            self._meet(connection)
            page = await self._next_page(connection, name)
            if page is not None and not page[1]:
                return 0  # nothing new, and nothing was written to find out
            done = await step(connection, self._projections[name], "", limit=self._batch, page=page)
        self._positions[name] = done.position
        if done.stopped:
            self._stopped.add(name)
        return done.folded

    def _meet(self, connection: AsyncConnection[Row]) -> None:
        """Trust no position over a new connection: the server may have crashed, and lost our last commits with it."""
        if connection is not self._known:
            self._known, self._page = connection, None
            self._positions.clear()

    async def _next_page(self, connection: AsyncConnection[Row], name: str) -> tuple[int, Events] | None:
        position = self._positions.get(name)
        if position is None:
            return None
        return position, await self._page_after(connection, position)

    async def _page_after(self, connection: AsyncConnection[Row], position: int) -> Events:
        if self._page is None or self._page[0] != position or not self._page[1]:
            self._page = (position, await read(connection, position, self._batch))
        return self._page[1]

    async def catch_up(self) -> int:
        """Bring every projection to the head of the log, in turns; how many events were folded. Raises as `step`."""
        total = 0
        while folded := await self._take_turns():
            total += folded
        self._page = None
        return total

    async def _take_turns(self) -> int:
        """A batch for each projection, those that stand at the same place one after the other: a page is read once."""
        async with self._turn, self._link.use() as connection:
            self._meet(connection)
        going = [name for name in self._projections if name not in self._stopped]
        folded = sum([await self.step(name) for name in going if name not in self._positions])
        for position in sorted({self._positions[name] for name in going if name in self._positions}):
            passed = await self._pass_by(position)
            if passed is None:
                continue  # there is nothing after it
            here = [name for name in going if self._positions.get(name) == position]
            folded += passed + sum([await self.step(name) for name in here])
        return folded

    async def _pass_by(self, position: int) -> int | None:
        """Move on all projections at a position to which the next events do nothing; by how many events.

        Most domains have nothing to do with most events: a transaction for each of them would hold up the others.
        None: there are no events yet.
        """
        going = [each for each in self._projections.values() if each.name not in self._stopped]
        async with self._turn, self._link.use() as connection:
            page = await self._page_after(connection, position)
            if not page:
                return None
            here = [each for each in going if self._positions.get(each.name) == position]
            idle = [each for each in here if passes_by(each, page)]
            if not idle:
                return 0
            moved = await pass_by(connection, idle, position, page[-1].sequence)
        for each in idle:
            if each.name in moved:
                self._positions[each.name] = page[-1].sequence
            else:  # its checkpoint is elsewhere by now: the next step looks
                self._positions.pop(each.name)
        return len(page) * len(moved)

    async def status(self) -> tuple[Status, ...]:
        """How every projection does. Raises Transient."""
        async with self._turn, self._link.use() as connection:
            return await read_status(connection)

    async def rebuild(self, name: str) -> Rebuilt:
        """Fold the whole log again beside the live tables, compare, and put the new in place of the old.

        Raises:
            NotFound: code `projection.unknown`. Conflict: code `projection.rebuilding`. Broken: code
                `projection.poison`: today's code cannot fold what the live tables hold; they stay. Transient.
        """
        if name not in self._projections:
            known = ", ".join(self._projections)
            raise NotFound(f"no projection {name!r}", code="projection.unknown", hint=f"there are: {known}")
        if self._rebuilding.locked():
            raise Conflict("a rebuild is under way", code="projection.rebuilding")
        async with self._rebuilding, self._rebuild_link.use() as connection:
            locked = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])).fetchone()
            if locked != (True,):
                raise Conflict("another projector rebuilds", code="projection.rebuilding")
            try:
                report = await rebuild(connection, self._projections[name], self._batch)
            finally:
                with contextlib.suppress(Exception):  # the connection broke: the server has released it
                    await connection.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        log.info("projection.rebuilt", **msgspec.structs.asdict(report))
        return report

    async def close(self) -> None:
        """Disconnect."""
        await self._link.drop()
        await self._rebuild_link.drop()


async def read_status(connection: AsyncConnection[Row]) -> tuple[Status, ...]:
    """How every projection does, by any role that may SELECT."""
    found = await connection.execute(
        "SELECT projection, version, position, log.head() - position, "
        "poison_sequence, poison_event, reason, rebuilt_at, updated_at, "
        "(position - since_position) / greatest(extract(epoch FROM now() - since), 1), "
        "updated_at > now() - interval '1 min' FROM views.checkpoints ORDER BY projection"
    )
    rows = await found.fetchall()
    # a shadow that has not moved for a minute was left behind by a rebuild that was killed
    shadows = {
        row[0].removesuffix(REBUILD_SUFFIX): row[2] for row in rows if row[0].endswith(REBUILD_SUFFIX) and row[10]
    }
    return tuple(_status(row, shadows.get(row[0])) for row in rows if not row[0].endswith(REBUILD_SUFFIX))


def _status(row: Row, rebuilding: int | None) -> Status:
    return Status(
        projection=row[0],
        version=row[1],
        position=row[2],
        lag=max(row[3], 0),
        poison=_poison(row[4:7]),
        rebuilt_at=row[7],
        updated_at=row[8],
        events_per_s=max(0.0, round(float(row[9]), 1)),
        rebuilding=rebuilding,
    )


def _poison(columns: tuple[Any, ...]) -> Poison | None:
    sequence, event_id, reason = columns
    return None if sequence is None else Poison(sequence=sequence, event_id=event_id, reason=reason)
