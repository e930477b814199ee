"""Keeping the read models: followers of the log, never of the bus.

A position is a sequence, and whatever wakes us is only a hint. A projector killed between any two statements has lost
nothing; two of them at once take turns at the row locks of the checkpoints. Commits do not wait for the disk: a crash
of the server may set views back, together with their checkpoints, and they are folded again.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog
from psycopg import AsyncConnection, errors

from agentplane.errors import Conflict, NotFound
from agentplane.projections.engine import PROJECTIONS, Projection, passes_by
from agentplane.projections.status import Rebuilt, Status
from agentplane.store import view_tables as tables
from agentplane.store.connection import Link, Row
from agentplane.store.projecting import Events, Stepped, pass_by, prepare, step_or_stop
from agentplane.store.rebuilding import rebuild
from agentplane.store.together import move, read
from agentplane.store.upgrading import BUILDS, GRACE_S, Upgrades
from agentplane.store.view_status import read_status

log = structlog.get_logger(__name__)

BATCH: Final = 256  # events per transaction when behind
_LOCK: Final = 4702111234474983747  # of making tables
_UNDER_WAY: Final = "projection.rebuilding"


class ViewStore:
    """The read models in PostgreSQL, as the role agentplane_project."""

    def __init__(
        self,
        conninfo: str,
        projections: Sequence[Projection] = tuple(PROJECTIONS.values()),
        *,
        batch: int = BATCH,
        grace_s: float = GRACE_S,
    ) -> None:
        """`batch`: events per transaction. `grace_s`: see agentplane.store.upgrading."""
        self._batch = batch
        self._projections = {each.name: each for each in projections}
        self._link = Link(conninfo, durable=False)  # view and checkpoint go together: what is lost is folded again
        self._turn = asyncio.Lock()
        self._positions: dict[str, int] = {}  # as of our last step; the truth is the checkpoint
        self._stopped: set[str] = set()
        self._page: tuple[int, Events] | None = None  # read once for all projections that stand at the same place
        self._known: AsyncConnection[Row] | None = None  # the connection that we knew these positions by
        self._elsewhere: set[str] = set()  # another version's rows are served: not ours to fold into
        self._resting: set[str] = set()
        self._upgrades = Upgrades(conninfo, projections, batch=batch, grace_s=grace_s)
        self._rebuild_link = Link(conninfo)
        self._rebuilding = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all projections that are kept here."""
        return tuple(self._projections)

    async def prepare(self) -> bool:
        """Make the tables that are missing; let a stopped projection try once more. Always True.

        Tables of another version are left to those who read them, until `tend` has built ours.

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
        self._elsewhere.clear()
        return True

    async def tend(self) -> bool:
        """Build our version of what is served in another one, and switch when it is complete; remove what was left.

        May take long; everything else goes on meanwhile. True: something is left to do, so look again soon.

        Raises:
            Transient: the database is away; a build is gone on with next time.
        """
        return await self._upgrades.tend(self._learn)

    def _learn(self, served: Mapping[str, int]) -> None:
        """Take note of the versions that are served."""
        for name, projection in self._projections.items():
            if served.get(name) != projection.version:
                self._elsewhere.add(name)
            elif name in self._elsewhere:
                self._elsewhere.discard(name)
                self._stopped.discard(name)
                self._positions.pop(name, None)

    async def step(self, name: str) -> int:
        """Fold the next batch of events into one projection; how many. 0: it is up to date, or stopped.

        Raises:
            Transient: the database is away; nothing of the batch was kept.
        """
        if not self._goes(name):
            return 0
        async with self._turn, self._link.use() as connection:
            self._meet(connection)
            page = await self._next_page(connection, name)
            if page is not None and not page[1]:
                return 0  # nothing new, and nothing was written to find out
            done = await self._folded(connection, name, page)
        if done.elsewhere:
            self._elsewhere.add(name)
            self._positions.pop(name, None)
            return 0
        self._positions[name] = done.position
        if done.stopped:
            self._stopped.add(name)
        return done.folded

    async def _folded(self, connection: AsyncConnection[Row], name: str, page: tuple[int, Events] | None) -> Stepped:
        projection = self._projections[name]
        try:
            return await step_or_stop(connection, projection, "", limit=self._batch, page=page)
        except (errors.UndefinedColumn, errors.UndefinedTable):
            asked = await connection.execute("SELECT version FROM views.checkpoints WHERE projection = %s", [name])
            if await asked.fetchone() == (projection.version,):
                raise
            return Stepped(folded=0, position=0, stopped=False, elsewhere=True)  # a newer program's, with other columns

    def _goes(self, name: str) -> bool:
        return name not in self._stopped and name not in self._elsewhere and name not in self._resting

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
            if self._at_head():
                break
        self._page = None
        return total

    def _at_head(self) -> bool:
        """Whether there was nothing after where all of them are now."""
        if self._page is None or self._page[1]:
            return False
        return all(self._positions.get(name) == self._page[0] for name in self._projections if self._goes(name))

    async def _take_turns(self) -> int:
        """A batch for each projection, those that stand at the same place one after the other: a page is read once."""
        async with self._turn, self._link.use() as connection:
            self._meet(connection)
        going = [name for name in self._projections if self._goes(name)]
        folded = sum([await self.step(name) for name in going if name not in self._positions])
        for position in sorted({self._positions[name] for name in going if name in self._positions}):
            if together := await self._move(position):
                folded += together
                continue
            passed = await self._pass_by(position)
            if passed is None:
                continue  # there is nothing after it
            here = [name for name in going if self._positions.get(name) == position]
            folded += passed + sum([await self.step(name) for name in here])
        return folded

    async def _move(self, position: int) -> int:
        """Move all that stand at a position at once, if few events follow; by how many events. 0: one by one."""
        async with self._turn, self._link.use() as connection:
            self._meet(connection)
            page = await self._page_after(connection, position)
            here = [each for name, each in self._projections.items() if self._is_at(name, position)]
            if not page or not here or len(page) == self._batch:
                return 0
            moved = await move(connection, here, position, page, limit=self._batch)
        if moved is None:
            return 0
        until = page[-1].sequence
        self._page = (until, moved.following)
        self._note(here, moved.names, until)
        return len(page) * len(moved.names)

    def _is_at(self, name: str, position: int) -> bool:
        return self._goes(name) and self._positions.get(name) == position

    def _note(self, projections: Sequence[Projection], moved: frozenset[str], until: int) -> None:
        """Where projections are now; of one whose checkpoint is elsewhere the next step finds out."""
        for each in projections:
            if each.name in moved:
                self._positions[each.name] = until
            else:
                self._positions.pop(each.name, None)

    async def _pass_by(self, position: int) -> int | None:
        """Move on all projections at a position to which the next events do nothing; by how many events.

        Most domains have nothing to do with most events: a transaction for each of them would hold up the others.
        None: there are no events yet.
        """
        async with self._turn, self._link.use() as connection:
            page = await self._page_after(connection, position)
            if not page:
                return None
            here = [each for name, each in self._projections.items() if self._is_at(name, position)]
            idle = [each for each in here if passes_by(each, page)]
            if not idle:
                return 0
            moved = await pass_by(connection, idle, position, page[-1].sequence)
        self._note(idle, moved, page[-1].sequence)
        return len(page) * len(moved)

    async def status(self) -> tuple[Status, ...]:
        """How every projection does. Raises Transient."""
        async with self._turn, self._link.use() as connection:
            return await read_status(connection, {each.name: each.version for each in self._projections.values()})

    async def rebuild(self, name: str) -> Rebuilt:
        """Fold the whole log again beside the live tables, compare, and put the new in place of the old.

        Raises:
            NotFound: code `projection.unknown`. Conflict: codes `projection.rebuilding`, `projection.upgrading`.
            Broken: code `projection.poison`: today's code cannot fold what the live tables hold; they stay. Transient.
        """
        if name not in self._projections:
            known = ", ".join(self._projections)
            raise NotFound(f"no projection {name!r}", code="projection.unknown", hint=f"there are: {known}")
        if self._rebuilding.locked():
            raise Conflict("a rebuild is under way", code=_UNDER_WAY)
        async with self._rebuilding, self._rebuild_link.use() as connection:
            locked = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [BUILDS])).fetchone()
            if locked != (True,):
                raise Conflict("another rebuild, or an upgrade of a read model, is under way", code=_UNDER_WAY)
            try:
                report = await rebuild(connection, self._projections[name], self._batch, lambda: self._rest(name))
            finally:
                with contextlib.suppress(Exception):  # the connection broke: the server has released it
                    await connection.execute("SELECT pg_advisory_unlock(%s)", [BUILDS])
        log.info("projection.rebuilt", **msgspec.structs.asdict(report))
        return report

    @contextlib.contextmanager
    def _rest(self, name: str) -> Iterator[None]:
        """Leave a projection alone, so that the others do not wait for it."""
        self._resting.add(name)
        try:
            yield
        finally:
            self._resting.discard(name)

    async def close(self) -> None:
        """Disconnect."""
        await self._link.drop()
        await self._rebuild_link.drop()
        await self._upgrades.close()
