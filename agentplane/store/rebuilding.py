"""Folding the whole log again beside the live views, comparing, and switching: readers are served throughout.

The live projection rests from the comparison to the commit of the switch, and goes on from where it stood.
"""

from typing import LiteralString

from psycopg import AsyncConnection

from agentplane.errors import Broken
from agentplane.projections.engine import Projection
from agentplane.projections.status import Rebuilt
from agentplane.store import view_tables as tables
from agentplane.store.connection import Row
from agentplane.store.projecting import CHECKPOINT, set_checkpoint, step
from agentplane.store.view_tables import REBUILD_SUFFIX, table_of


async def rebuild(connection: AsyncConnection[Row], projection: Projection, batch: int) -> Rebuilt:
    """The caller holds the lock against other rebuilds.

    Raises:
        Broken: code `projection.poison`: today's code cannot fold what the live views hold; they stay as they are.
    """
    await _begin(connection, projection)
    while (
        await step(connection, projection, REBUILD_SUFFIX, limit=batch, upto=await _live(connection, projection))
    ).folded:
        pass
    async with connection.transaction():
        return await _compare_and_switch(connection, projection, batch)


async def _begin(connection: AsyncConnection[Row], projection: Projection) -> None:
    table = table_of(projection.name)
    async with connection.transaction():
        await connection.execute("DROP TABLE IF EXISTS views." + table.name + REBUILD_SUFFIX)
        for statement in tables.create(table, REBUILD_SUFFIX):
            await connection.execute(statement)
        await set_checkpoint(connection, projection.name + REBUILD_SUFFIX, projection.version)


async def _live(connection: AsyncConnection[Row], projection: Projection) -> int:
    found = await connection.execute("SELECT position FROM views.checkpoints WHERE projection = %s", [projection.name])
    row = await found.fetchone()
    return int(row[0]) if row else 0


async def _compare_and_switch(connection: AsyncConnection[Row], projection: Projection, batch: int) -> Rebuilt:
    table = table_of(projection.name)
    await connection.execute(CHECKPOINT, [projection.name])  # the live one rests from here to the commit
    position = await _live(connection, projection)
    await _finish(connection, projection, batch, position)
    _, before = await _fingerprint(connection, tables.fingerprint(table))
    rows, after = await _fingerprint(connection, tables.fingerprint(table, REBUILD_SUFFIX))
    await connection.execute("DROP TABLE views." + table.name)
    await connection.execute("ALTER TABLE views." + table.name + REBUILD_SUFFIX + " RENAME TO " + table.name)
    shadow = projection.name + REBUILD_SUFFIX
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


async def _finish(connection: AsyncConnection[Row], projection: Projection, batch: int, position: int) -> None:
    """Fold what the live one has seen meanwhile. Raises Broken: the shadow cannot come to where the live one is."""
    while (done := await step(connection, projection, REBUILD_SUFFIX, limit=batch, upto=position)).folded:
        pass
    if done.position == position:
        return
    found = await (await connection.execute(CHECKPOINT, [projection.name + REBUILD_SUFFIX])).fetchone()
    reason = found[4] if found else "its checkpoint is gone"
    raise Broken(f"cannot fold the log again: {reason}", code="projection.poison", where=projection.name)


async def _fingerprint(connection: AsyncConnection[Row], statement: LiteralString) -> tuple[int, str]:
    row = await (await connection.execute(statement)).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")
