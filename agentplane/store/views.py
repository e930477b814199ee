"""Keeping the read models: view and checkpoint in one transaction, catch-up, live and rebuild through one path.

Followers of the log, never of the bus: a position is a sequence, and whatever wakes us is only a hint. A projector
killed between any two statements has lost nothing; two of them at once take turns at the checkpoint's row lock.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, LiteralString

import msgspec
import structlog
from psycopg import AsyncConnection

from agentplane.errors import Broken, Conflict, NotFound
from agentplane.events.model import StoredEvent
from agentplane.projections.engine import PROJECTIONS, Folded, Key, Projection, fold, touched
from agentplane.projections.status import Poison, Rebuilt, Status
from agentplane.store import sql
from agentplane.store import view_tables as tables
from agentplane.store.connection import Link, Row
from agentplane.store.view_tables import REBUILD_SUFFIX, TABLES, Table

log = structlog.get_logger(__name__)

BATCH: Final = 256  # events per transaction when behind
_LOCK: Final = 4702111234474983747
_CHECKPOINT: Final[LiteralString] = (
    "SELECT version, position, poison_sequence, poison_event, reason FROM views.checkpoints "
    "WHERE projection = %s FOR UPDATE"
)
_ADVANCE: Final[LiteralString] = """
    UPDATE views.checkpoints
    SET position = %s, poison_sequence = %s, poison_event = %s, reason = %s, updated_at = now() WHERE projection = %s"""


class ViewStore:
    """The read models in PostgreSQL, as the role agentplane_project."""

    def __init__(
        self, conninfo: str, projections: Sequence[Projection] = tuple(PROJECTIONS.values()), *, batch: int = BATCH
    ) -> None:
        """`batch`: events per transaction."""
        self._batch = batch
        self._link = Link(conninfo)
        self._turn = asyncio.Lock()
        self._projections = {each.name: each for each in projections}
        self._rebuild_link = Link(conninfo)
        self._rebuilding = asyncio.Lock()

    async def prepare(self) -> bool:
        """Make the tables; begin anew those of an older version; let a stopped projection try once more. Always True.

        Raises:
            Transient, Denied, Broken: as `agentplane.store.connection.connect`.
        """
        async with self._turn, self._link.use() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            await connection.execute(tables.CHECKPOINTS)
            await connection.execute("GRANT SELECT ON views.checkpoints TO agentplane_read")
            for projection in self._projections.values():
                await _prepare(connection, projection)
        return True

    async def step(self, name: str) -> int:
        """Fold the next batch of events into one projection; how many. 0: it is up to date, or stopped.

        Raises:
            Transient: the database is away; nothing of the batch was kept.
        """
        async with self._turn, self._link.use() as connection:
            return await _step(connection, self._projections[name], "", self._batch, None)

    async def catch_up(self) -> int:
        """Bring every projection to the head of the log, in turns; how many events were folded. Raises as `step`."""
        total = 0
        while folded := [await self.step(name) for name in self._projections]:
            total += sum(folded)
            if not any(folded):
                break
        return total

    async def status(self) -> tuple[Status, ...]:
        """How every projection does. Raises Transient."""
        async with self._turn, self._link.use() as connection:
            return await read_status(connection)

    async def rebuild(self, name: str) -> Rebuilt:
        """Fold the whole log again beside the live tables, compare, and put the new in place of the old.

        Readers are served throughout; the live projection rests only while the two are compared.

        Raises:
            NotFound: code `projection.unknown`. Conflict: code `projection.rebuilding`. Broken: code
                `projection.poison`: today's code cannot fold what the live tables hold; they stay. Transient.
        """
        if name not in self._projections:
            known = ", ".join(self._projections)
            raise NotFound(f"no projection {name!r}", code="projection.unknown", hint=f"there are: {known}")
        if self._rebuilding.locked():
            raise Conflict("a rebuild is under way", code="projection.rebuilding")
        async with self._rebuilding:
            return await self._rebuild(self._projections[name])

    async def _rebuild(self, projection: Projection) -> Rebuilt:
        table = TABLES[projection.name]
        async with self._rebuild_link.use() as connection:
            locked = await (await connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])).fetchone()
            if locked != (True,):
                raise Conflict("another projector rebuilds", code="projection.rebuilding")
            try:
                await _begin_shadow(connection, projection)
                while await _step(
                    connection, projection, REBUILD_SUFFIX, self._batch, await _live(connection, projection)
                ):
                    pass
                async with connection.transaction():
                    report = await _compare_and_switch(connection, projection, table)
            finally:
                with contextlib.suppress(Exception):  # the link was dropped: the server has released it
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
        "SELECT projection, version, position, (SELECT coalesce(max(sequence), 0) FROM log.events) - position, "
        "poison_sequence, poison_event, reason, rebuilt_at, updated_at FROM views.checkpoints ORDER BY projection"
    )
    return tuple(_status(row) for row in await found.fetchall() if not row[0].endswith(REBUILD_SUFFIX))


def _status(row: Row) -> Status:
    return Status(
        projection=row[0],
        version=row[1],
        position=row[2],
        lag=max(row[3], 0),
        poison=_poison(row[4:7]),
        rebuilt_at=row[7],
        updated_at=row[8],
    )


def _poison(columns: tuple[Any, ...]) -> Poison | None:
    sequence, event_id, reason = columns
    return None if sequence is None else Poison(sequence=sequence, event_id=event_id, reason=reason)


async def _prepare(connection: AsyncConnection[Row], projection: Projection) -> None:
    table = TABLES[projection.name]
    found = await (await connection.execute(_CHECKPOINT, [projection.name])).fetchone()
    if found is not None and found[0] == projection.version:
        await connection.execute(
            "UPDATE views.checkpoints SET poison_sequence = NULL, poison_event = NULL, reason = NULL "
            "WHERE projection = %s AND poison_sequence IS NOT NULL",
            [projection.name],
        )
        return
    await connection.execute("DROP TABLE IF EXISTS views." + table.name)
    for statement in tables.create(table):
        await connection.execute(statement)
    await _set_checkpoint(connection, projection.name, projection.version)


async def _set_checkpoint(connection: AsyncConnection[Row], name: str, version: int) -> None:
    await connection.execute(
        "INSERT INTO views.checkpoints (projection, version) VALUES (%s, %s) ON CONFLICT (projection) DO UPDATE "
        "SET version = excluded.version, position = 0, poison_sequence = NULL, poison_event = NULL, reason = NULL",
        [name, version],
    )


async def _step(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, limit: int, upto: int | None
) -> int:
    """One batch into the live table or (with a suffix) the shadow, in one transaction; at most up to `upto`."""
    name = projection.name + suffix
    async with connection.transaction():
        found = await (await connection.execute(_CHECKPOINT, [name])).fetchone()
        if found is None or found[0] != projection.version:
            raise Broken(f"the views of {name} are another version's", code="store.views", hint="restart the projector")
        position = int(found[1])
        if found[2] is not None:
            return 0
        events = await _read(connection, position, limit, upto)
        if not events:
            return 0
        folded = await _fold(connection, projection, suffix, events, position)
        poison = folded.poison
        words = (poison.sequence, poison.event_id, poison.reason) if poison else (None, None, None)
        await connection.execute(_ADVANCE, [folded.position, *words, name])
    if poison:
        log.error("projection.stopped", projection=name, sequence=poison.sequence, reason=poison.reason)
    return sum(stored.sequence <= folded.position for stored in events)


async def _read(connection: AsyncConnection[Row], after: int, limit: int, upto: int | None) -> tuple[StoredEvent, ...]:
    found = await connection.execute(sql.READ, (after, limit), binary=True)
    events = map(sql.stored_event, await found.fetchall())
    return tuple(stored for stored in events if upto is None or stored.sequence <= upto)


async def _fold(
    connection: AsyncConnection[Row],
    projection: Projection,
    suffix: LiteralString,
    events: tuple[StoredEvent, ...],
    position: int,
) -> Folded:
    table = TABLES[projection.name]
    views = await _load(connection, projection, suffix, touched(projection, events))
    folded = fold(projection, views, events, position)
    if folded.changed:
        rows = [table.row(view) for view in folded.changed.values()]
        async with connection.cursor() as cursor:
            await cursor.executemany(tables.upsert(table, suffix), rows)
    return folded


async def _load(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, keys: tuple[Key, ...]
) -> dict[Key, Any]:
    if not keys:
        return {}
    table = TABLES[projection.name]
    columns = [list(column) for column in zip(*keys, strict=True)]
    found = await connection.execute(tables.select(table, suffix), columns)
    return {
        tables.key_of(table, row): msgspec.json.decode(row[-1], type=projection.type) for row in await found.fetchall()
    }


async def _begin_shadow(connection: AsyncConnection[Row], projection: Projection) -> None:
    table = TABLES[projection.name]
    async with connection.transaction():
        await connection.execute("DROP TABLE IF EXISTS views." + table.name + REBUILD_SUFFIX)
        for statement in tables.create(table, REBUILD_SUFFIX):
            await connection.execute(statement)
        await _set_checkpoint(connection, projection.name + REBUILD_SUFFIX, projection.version)


async def _live(connection: AsyncConnection[Row], projection: Projection) -> int:
    found = await connection.execute("SELECT position FROM views.checkpoints WHERE projection = %s", [projection.name])
    row = await found.fetchone()
    return int(row[0]) if row else 0


async def _compare_and_switch(connection: AsyncConnection[Row], projection: Projection, table: Table) -> Rebuilt:
    await connection.execute(_CHECKPOINT, [projection.name])  # the live one rests from here to the commit
    position = await _live(connection, projection)
    shadow = projection.name + REBUILD_SUFFIX
    while await _step(connection, projection, REBUILD_SUFFIX, BATCH, position):
        pass
    found = await (await connection.execute(_CHECKPOINT, [shadow])).fetchone()
    if found is None or found[1] != position:
        reason = found[4] if found else "its checkpoint is gone"
        raise Broken(f"cannot fold the log again: {reason}", code="projection.poison", where=projection.name)
    _, before = await _fingerprint(connection, tables.fingerprint(table))
    rows, after = await _fingerprint(connection, tables.fingerprint(table, REBUILD_SUFFIX))
    await connection.execute("DROP TABLE views." + table.name)
    await connection.execute("ALTER TABLE views." + table.name + REBUILD_SUFFIX + " RENAME TO " + table.name)
    await connection.execute("DELETE FROM views.checkpoints WHERE projection = %s", [shadow])
    await connection.execute("UPDATE views.checkpoints SET rebuilt_at = now() WHERE projection = %s", [projection.name])
    return Rebuilt(
        projection=projection.name,
        position=position,
        rows=rows,
        hash_before=before,
        hash_after=after,
        equal=before == after,
    )


async def _fingerprint(connection: AsyncConnection[Row], statement: LiteralString) -> tuple[int, str]:
    row = await (await connection.execute(statement)).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")
