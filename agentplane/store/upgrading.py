"""Bringing the read models to this program's version while another version's rows are served.

A build is a fold from the log's beginning into shadow tables under a checkpoint of its own, by the very code of live
and catch-up, a bounded batch at a time. When it has come to the end of the log, the tables change places in one
transaction. Whatever dies on the way leaves a build that is gone on with, or a switch that is whole; what was left
behind by a program that will not come back is removed by the next one that looks.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, LiteralString

import structlog
from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier

from agentplane.projections.engine import Projection
from agentplane.projections.upgrades import Course, complete, course, orphaned
from agentplane.store import view_tables as tables
from agentplane.store.claims import alive, claim
from agentplane.store.connection import Link, Row
from agentplane.store.projecting import UNFIT, Stepped, said, set_checkpoint, step, step_or_stop
from agentplane.store.view_tables import REBUILD_SUFFIX, table_of

log = structlog.get_logger(__name__)

BUILDS: Final = 4702111234474983748  # the lock of all builds: one at a time, whoever's
GRACE_S: Final = 15.0  # that a newer program is given to come back before an older one takes over
_LOOK_S: Final = 1.0  # between two looks at who else is alive, while building
_LAST_BATCHES: Final = 8  # within the switch: what was appended since the build last looked

_CHECKPOINTS: Final[LiteralString] = (
    "SELECT projection, version, updated_at < now() - make_interval(secs => %s) FROM views.checkpoints"
)
_BOTH: Final[LiteralString] = (
    "SELECT projection, version, position FROM views.checkpoints WHERE projection = ANY(%s) "
    "ORDER BY projection FOR UPDATE"
)
_TAKE_PLACE: Final[LiteralString] = """
    UPDATE views.checkpoints SET (version, readable_from, position, poison_sequence, poison_event, reason,
            since, since_position, later, later_position) =
        (SELECT version, readable_from, position, poison_sequence, poison_event, reason,
            since, since_position, later, later_position FROM views.checkpoints WHERE projection = %s),
        rebuilt_at = now(), updated_at = now()
    WHERE projection = %s"""

Learn = Callable[[Mapping[str, int]], None]


class Upgrades:
    """The builds of one program. Works over a connection of its own, whose life is the program's claim."""

    def __init__(
        self,
        conninfo: str,
        projections: Iterable[Projection],
        *,
        batch: int,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`batch`: events per transaction."""
        self._projections = {each.name: each for each in projections}
        self._batch, self._grace_s, self._clock = batch, grace_s, clock
        self._link = Link(conninfo, durable=False)
        self._claimed: AsyncConnection[Row] | None = None
        self._turn = asyncio.Lock()
        self._newer_seen: dict[str, float] = {}
        self._begun: set[str] = set()

    async def tend(self, learn: Learn) -> bool:
        """Build and switch whatever is not served in our version; tidy up. True: something is left to do.

        `learn` is told the versions that are served, whenever they were looked at.

        Raises:
            Transient: the database is away; what was done stays done.
        """
        async with self._turn, self._link.use() as connection:
            if connection is not self._claimed:
                await claim(connection, self._projections.values())
                await self._try_again(connection)
                self._claimed = connection
            served, shadows = await self._look(connection, learn)
            builds = await self._builds(connection, served)
            if not builds and not shadows:
                return any(served.get(each.name, each.version) != each.version for each in self._projections.values())
            if not await _locked(connection):
                return True
            try:
                return await self._work(connection, builds, learn)
            finally:
                with contextlib.suppress(Exception):  # the connection broke: the server has released it
                    await connection.execute("SELECT pg_advisory_unlock(%s)", [BUILDS])

    async def close(self) -> None:
        """Disconnect; the claim ends with that."""
        await self._link.drop()

    async def _work(self, connection: AsyncConnection[Row], builds: list[Projection], learn: Learn) -> bool:
        left = await self._tidy(connection, learn)
        for projection in builds:
            if await self._build(connection, projection, learn):
                await self._look(connection, learn)
            else:
                left = True
        return left

    async def _look(self, connection: AsyncConnection[Row], learn: Learn) -> tuple[dict[str, int], dict[str, Row]]:
        """The versions that are served, and the shadows (version, and whether it is quiet) by their projection."""
        rows = await (await connection.execute(_CHECKPOINTS, [self._grace_s])).fetchall()
        served = {row[0]: int(row[1]) for row in rows if not row[0].endswith(REBUILD_SUFFIX)}
        learn(served)
        return served, {row[0].removesuffix(REBUILD_SUFFIX): row[1:] for row in rows if row[0] not in served}

    async def _builds(self, connection: AsyncConnection[Row], served: Mapping[str, int]) -> list[Projection]:
        """What we have to build now."""
        others = [each for each in self._projections.values() if served.get(each.name, each.version) != each.version]
        living = await alive(connection, [each.name for each in others]) if others else {}
        return [each for each in others if self._ours(each, served[each.name], living[each.name])]

    def _ours(self, projection: Projection, served: int, living: frozenset[int]) -> bool:
        """Whether to build; not the older version while a newer program may only be restarting."""
        now, name = self._clock(), projection.name
        if course(projection.version, served, living) is Course.STAND_BY:
            self._newer_seen[name] = now
            return False
        since = self._newer_seen.setdefault(name, now if served > projection.version else now - self._grace_s)
        return now - since >= self._grace_s

    async def _build(self, connection: AsyncConnection[Row], projection: Projection, learn: Learn) -> bool:
        """Fold into the shadow and switch. False: not yet, or not by us."""
        resumed = await _begin(connection, projection)
        if resumed and projection.name not in self._begun:  # what waits is looked at again and again, and said once
            log.info("projection.upgrade-resumed", projection=projection.name, version=projection.version)
        self._begun.add(projection.name)
        look_at = self._clock() + _LOOK_S
        while True:
            done = await step_or_stop(connection, projection, REBUILD_SUFFIX, limit=self._batch)
            if done.stopped:
                return False
            if not done.folded:
                return await _try_switch(connection, projection, self._batch)
            if self._clock() >= look_at:
                look_at = self._clock() + _LOOK_S
                served, _ = await self._look(connection, learn)
                if projection not in await self._builds(connection, served):
                    return False

    async def _tidy(self, connection: AsyncConnection[Row], learn: Learn) -> bool:
        """Remove what was left behind; we hold the lock, so nobody is at work on it. True: others' is not due yet."""
        served, shadows = await self._look(connection, learn)
        living = await alive(connection, shadows)
        left = False
        for name, (version, quiet) in shadows.items():
            ours = self._projections[name].version if name in self._projections else None
            if orphaned(version, served=served.get(name), ours=ours, alive=living[name], quiet=quiet):
                await _drop(connection, name)
                log.info("projection.tidied", projection=name, version=version)
            else:
                left = left or version != ours
        return left

    async def _try_again(self, connection: AsyncConnection[Row]) -> None:
        """A build that stopped is tried once more by every program that starts."""
        mine = list(self._projections.values())
        await connection.execute(
            "UPDATE views.checkpoints SET poison_sequence = NULL, poison_event = NULL, reason = NULL "
            "FROM unnest(%s::text[], %s::int[]) AS mine(name, current) "
            "WHERE projection = name AND version = current AND poison_sequence IS NOT NULL",
            [[each.name + REBUILD_SUFFIX for each in mine], [each.version for each in mine]],
        )


async def _locked(connection: AsyncConnection[Row]) -> bool:
    return await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [BUILDS])).fetchone() == (True,)


async def _begin(connection: AsyncConnection[Row], projection: Projection) -> bool:
    """Make the shadow. True: this version's is there already, and is gone on with."""
    shadow = projection.name + REBUILD_SUFFIX
    async with connection.transaction():
        found = await connection.execute("SELECT version FROM views.checkpoints WHERE projection = %s", [shadow])
        if await found.fetchone() == (projection.version,):
            return True
        await connection.execute("SET LOCAL synchronous_commit TO on")
        await make_shadow(connection, projection)
    log.info("projection.upgrade-begun", projection=projection.name, version=projection.version)
    return False


async def make_shadow(connection: AsyncConnection[Row], projection: Projection) -> None:
    """An empty shadow table and its checkpoint, in the caller's transaction; a former one goes."""
    table = table_of(projection.name)
    await connection.execute("DROP TABLE IF EXISTS views." + table.name + REBUILD_SUFFIX)
    for statement in tables.create(table, REBUILD_SUFFIX):
        await connection.execute(statement)
    await set_checkpoint(connection, projection.name + REBUILD_SUFFIX, projection)


async def _drop(connection: AsyncConnection[Row], name: str) -> None:
    async with connection.transaction():
        await connection.execute(SQL("DROP TABLE IF EXISTS views.{}").format(Identifier(name + REBUILD_SUFFIX)))
        await connection.execute("DELETE FROM views.checkpoints WHERE projection = %s", [name + REBUILD_SUFFIX])


async def _try_switch(connection: AsyncConnection[Row], projection: Projection, batch: int) -> bool:
    try:
        async with connection.transaction():
            return await _switch(connection, projection, batch)
    except errors.LockNotAvailable:  # somebody reads for long, and nobody shall wait behind us: soon again
        return False
    except UNFIT as exc:  # of a row that was appended meanwhile: the next look stops the build before it
        log.warning("projection.switch-undone", projection=projection.name, reason=said(exc))
        await connection.rollback()
        return False


async def _switch(connection: AsyncConnection[Row], projection: Projection, batch: int) -> bool:
    """Put the build in the place of what is served, in the caller's transaction. False: it is not complete."""
    shadow, table = projection.name + REBUILD_SUFFIX, table_of(projection.name)
    await hold(connection)
    both = await (await connection.execute(_BOTH, [[projection.name, shadow]])).fetchall()
    if [row[0] for row in both] != [projection.name, shadow] or both[1][1] != projection.version:
        return False
    served, head = both[0], await (await connection.execute("SELECT log.head()")).fetchone()
    upto = int(head[0]) if head else 0
    done = await _finish(connection, projection, batch, upto)
    if done.stopped or not complete(done.position, served=served[2], head=upto, waits=done.waits):
        return False
    await change_places(connection, table)
    await connection.execute(_TAKE_PLACE, [shadow, projection.name])
    await connection.execute("DELETE FROM views.checkpoints WHERE projection = %s", [shadow])
    log.info(
        "projection.upgraded",
        projection=projection.name,
        version=projection.version,
        before=served[1],
        position=done.position,
    )
    return True


async def _finish(connection: AsyncConnection[Row], projection: Projection, batch: int, upto: int) -> Stepped:
    for _ in range(_LAST_BATCHES):
        done = await step(connection, projection, REBUILD_SUFFIX, limit=batch, upto=upto)
        if not done.folded:
            break
    return done


async def hold(connection: AsyncConnection[Row]) -> None:
    """For the rest of a transaction that changes tables: commit on disk, and give way to who is not done soon."""
    await connection.execute("SET LOCAL synchronous_commit TO on")
    await connection.execute("SET LOCAL lock_timeout TO '250ms'")


async def change_places(connection: AsyncConnection[Row], table: tables.Table) -> None:
    """Put the shadow in the place of the table. Who reads waits for the commit, and then finds the new one."""
    await connection.execute("DROP TABLE views." + table.name)
    await connection.execute("ALTER TABLE views." + table.name + REBUILD_SUFFIX + " RENAME TO " + table.name)
