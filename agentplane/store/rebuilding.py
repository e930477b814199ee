"""Folding the whole log again beside the live views, comparing, and switching: readers are served throughout.

The live projection rests from the comparison to the commit of the switch, and goes on from where it stood. This proves
and repairs rows of one version; how another version takes its place is agentplane.store.upgrading.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, LiteralString

from psycopg import AsyncConnection, errors

from agentplane.errors import Broken, Conflict
from agentplane.projections.engine import Projection
from agentplane.projections.status import Rebuilt
from agentplane.store import view_tables as tables
from agentplane.store.connection import Row
from agentplane.store.projecting import CHECKPOINT, UNFIT, said, step
from agentplane.store.upgrading import change_places, hold, make_shadow
from agentplane.store.view_tables import REBUILD_SUFFIX, table_of

_ATTEMPTS: Final = 20  # to find a moment in which nobody reads for long
_PAUSE_S: Final = 0.5

Resting = Callable[[], AbstractContextManager[None]]


async def rebuild(connection: AsyncConnection[Row], projection: Projection, batch: int, resting: Resting) -> Rebuilt:
    """The caller holds the lock of all builds. `resting`: meanwhile nobody in this process waits for this projection.

    Raises:
        Broken: code `projection.poison`: today's code cannot fold what the live views hold; they stay as they are.
        Conflict: code `projection.upgrading`: another version is served.
    """
    try:
        return await _rebuild(connection, projection, batch, resting)
    except UNFIT as exc:
        await connection.rollback()
        raise _cannot(projection, said(exc)) from exc


async def _rebuild(connection: AsyncConnection[Row], projection: Projection, batch: int, resting: Resting) -> Rebuilt:
    async with connection.transaction():
        await _check_version(connection, projection)
        await connection.execute("SET LOCAL synchronous_commit TO on")
        await make_shadow(connection, projection)
    while (
        await step(connection, projection, REBUILD_SUFFIX, limit=batch, upto=await _live(connection, projection))
    ).folded:
        pass
    for attempt in range(_ATTEMPTS):
        try:
            with resting():
                async with connection.transaction():
                    return await _compare_and_switch(connection, projection, batch)
        except errors.LockNotAvailable:
            if attempt == _ATTEMPTS - 1:
                raise
            await asyncio.sleep(_PAUSE_S)
    raise AssertionError("unreachable")


async def _check_version(connection: AsyncConnection[Row], projection: Projection) -> None:
    found = await (await connection.execute(CHECKPOINT, [projection.name])).fetchone()
    if found is None or found[0] != projection.version:
        served = "no version" if found is None else f"version {found[0]}"
        raise Conflict(
            f"{served} of {projection.name} is served, and this program builds version {projection.version}",
            code="projection.upgrading",
            hint="`agentplane projections status` says how far it is",
        )


async def _live(connection: AsyncConnection[Row], projection: Projection) -> int:
    found = await connection.execute("SELECT position FROM views.checkpoints WHERE projection = %s", [projection.name])
    row = await found.fetchone()
    return int(row[0]) if row else 0


async def _compare_and_switch(connection: AsyncConnection[Row], projection: Projection, batch: int) -> Rebuilt:
    table = table_of(projection.name)
    await hold(connection)
    await _check_version(connection, projection)  # and the live one rests from here to the commit
    position = await _live(connection, projection)
    await _finish(connection, projection, batch, position)
    _, before = await _fingerprint(connection, tables.fingerprint(table))
    rows, after = await _fingerprint(connection, tables.fingerprint(table, REBUILD_SUFFIX))
    await change_places(connection, table)
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
    raise _cannot(projection, reason)


def _cannot(projection: Projection, reason: str) -> Broken:
    return Broken(f"cannot fold the log again: {reason}", code="projection.poison", where=projection.name)


async def _fingerprint(connection: AsyncConnection[Row], statement: LiteralString) -> tuple[int, str]:
    row = await (await connection.execute(statement)).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, "")
