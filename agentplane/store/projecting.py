"""One batch of events into one read model, in one transaction with its checkpoint. Catch-up, live and rebuild are this.

With a suffix the views stand in the shadow tables of a rebuild, under a checkpoint of their own.
"""
# ruff: noqa: S608 - only literals are spliced (LiteralString): mypy refuses anything else

from collections.abc import Sequence
from typing import Any, Final, LiteralString

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection, AsyncCursor, errors

from agentplane.events.model import StoredEvent
from agentplane.events.upcasting import NEWER
from agentplane.projections.engine import Folded, Key, Projection, fold, touched
from agentplane.store import sql
from agentplane.store import view_tables as tables
from agentplane.store.connection import Row, translate
from agentplane.store.tallying import TALLIES, tally
from agentplane.store.view_tables import table_of

log = structlog.get_logger(__name__)

Events = tuple[StoredEvent, ...]

# what a row is to blame for: of a projection that yields what its table has no place for
UNFIT: Final = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    errors.DataError,
    errors.IntegrityError,
    errors.ProgramLimitExceeded,
)

CHECKPOINT: Final[LiteralString] = (
    "SELECT version, position, poison_sequence, poison_event, reason FROM views.checkpoints "
    "WHERE projection = %s FOR UPDATE"
)
_ADVANCE: Final[LiteralString] = (
    "UPDATE views.checkpoints SET position = %s, poison_sequence = %s, poison_event = %s, reason = %s, "
    "updated_at = now()," + tables.MARK + " WHERE projection = %s"
)


_GO_ON: Final[LiteralString] = (
    """
    WITH here AS (
        SELECT projection FROM views.checkpoints JOIN unnest(%s::text[], %s::int[]) AS known(name, current)
            ON projection = name AND version = current
        WHERE position = %s AND poison_sequence IS NULL ORDER BY projection FOR UPDATE OF checkpoints
    )
    UPDATE views.checkpoints SET position = %s, updated_at = now(),"""
    + tables.MARK
    + " FROM here WHERE checkpoints.projection = here.projection RETURNING checkpoints.projection"
)


class Stepped(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did: events folded, where the projection is now, and whether it is stopped by poison.

    `waits`: it stands before an event of a newer program. `elsewhere`: the tables are another version's.
    """

    folded: int
    position: int
    stopped: bool
    waits: bool = False
    elsewhere: bool = False


async def step(
    connection: AsyncConnection[Row],
    projection: Projection,
    suffix: LiteralString,
    *,
    limit: int,
    upto: int | None = None,
    page: tuple[int, Events] | None = None,
) -> Stepped:
    """Fold the next `limit` events, at most up to the sequence `upto`.

    `page`: events that were read already, and after which position; used if the checkpoint is still there.
    """
    name = projection.name + suffix
    # two round trips: one asks for everything, the other writes and commits
    async with connection.pipeline(), connection.transaction():
        asked = await connection.execute(CHECKPOINT, [name])
        early = _upto(page[1], upto) if page is not None and projection.name not in TALLIES else ()
        loading = await _ask(connection, projection, suffix, touched(projection, early))
        found = await asked.fetchone()
        if found is None or found[0] != projection.version:
            return Stepped(folded=0, position=0, stopped=False, elsewhere=True)
        position = int(found[1])
        if found[2] is not None and not _awaits_a_newer_program(found[4]):
            return Stepped(folded=0, position=position, stopped=True)
        if projection.name in TALLIES:
            return await _tally(connection, projection, suffix, position, upto)
        events = early
        if page is None or page[0] != position:
            events = _upto(await read(connection, position, limit), upto)
            loading = await _ask(connection, projection, suffix, touched(projection, events))
        if not events:
            return Stepped(folded=0, position=position, stopped=False)
        folded = fold(projection, await _answer(loading, projection), events, position)
        poison = folded.poison
        await _write(connection, projection, suffix, folded)
        words = (poison.sequence, poison.event_id, poison.reason) if poison else (None, None, None)
        await connection.execute(_ADVANCE, [folded.position, *words, name])
    waits = poison is not None and _awaits_a_newer_program(poison.reason)
    if poison and not (waits and found[2] == poison.sequence):  # said before
        what = "projection.waits" if waits else "projection.stopped"
        log.error(what, projection=name, sequence=poison.sequence, reason=poison.reason)
    count = sum(stored.sequence <= folded.position for stored in events)
    return Stepped(folded=count, position=folded.position, stopped=poison is not None and not waits, waits=waits)


def _upto(events: Events, upto: int | None) -> Events:
    return tuple(stored for stored in events if upto is None or stored.sequence <= upto)


async def _tally(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, position: int, upto: int | None
) -> Stepped:
    """The database folds it itself; there is nothing that it could not fold."""
    now = await tally(connection, projection.name, suffix, after=position, upto=upto)
    if now > position:
        await connection.execute(_ADVANCE, [now, None, None, None, projection.name + suffix])
    return Stepped(folded=now - position, position=now, stopped=False)


def _awaits_a_newer_program(reason: str) -> bool:
    """Whether a projection stands before an event of a newer version: another process may know it, so it is no end."""
    return reason.startswith(NEWER)


async def step_or_stop(
    connection: AsyncConnection[Row],
    projection: Projection,
    suffix: LiteralString,
    *,
    limit: int,
    page: tuple[int, Events] | None = None,
) -> Stepped:
    """A step. What its table does not take is looked for event by event, and stops this projection alone.

    Outside of transactions: one in which a row was refused is lost.
    """
    try:
        try:
            return await step(connection, projection, suffix, limit=limit, page=page)
        except UNFIT:
            await connection.rollback()
            return await step(connection, projection, suffix, limit=1)
    except UNFIT as exc:
        return await _stop(connection, projection, suffix, exc)


async def _stop(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, error: Exception
) -> Stepped:
    """Stop a projection before its next event, whose row its table did not take: as `step` does for a fold's error."""
    name = projection.name + suffix
    await connection.rollback()  # of the driver's, if the server refused something
    async with connection.transaction():
        found = await (await connection.execute(CHECKPOINT, [name])).fetchone()
        if found is None or found[0] != projection.version:
            return Stepped(folded=0, position=0, stopped=False, elsewhere=True)
        position = int(found[1])
        following = await read(connection, position, 1)
        if not following:
            return Stepped(folded=0, position=position, stopped=False)
        stored, reason = following[0], said(error)
        words = (stored.sequence, str(stored.event.id), reason)
        await connection.execute(_ADVANCE, [position, *words, name])
    log.error("projection.stopped", projection=name, sequence=stored.sequence, reason=reason)
    return Stepped(folded=0, position=position, stopped=True)


def said(error: Exception) -> str:
    """The reason of a stop, without a row's values, and without NUL, which the checkpoint could not hold."""
    if isinstance(error, psycopg.Error):
        ours = translate(error)
        return f"{ours.code}: {ours.message}"[:500]
    return f"projection.{type(error).__name__}: {error}"[:500].replace("\0", "\ufffd")


async def pass_by(
    connection: AsyncConnection[Row], projections: Sequence[Projection], position: int, until: int
) -> frozenset[str]:
    """Move projections that stand at `position` to `until` in one statement; the names of those that were there."""
    names, versions = [each.name for each in projections], [each.version for each in projections]
    moved = await connection.execute(_GO_ON, [names, versions, position, until])
    return frozenset(str(row[0]) for row in await moved.fetchall())


async def read(connection: AsyncConnection[Row], after: int, limit: int) -> Events:
    """The next events of the log."""
    found = await connection.execute(sql.READ, (after, limit), binary=True)
    return tuple(map(sql.stored_event, await found.fetchall()))


async def prepare(connection: AsyncConnection[Row], projection: Projection) -> None:
    """Make a projection's table if there is none; let a stopped one try once more.

    Another version's is left alone: agentplane.store.upgrading builds ours beside it.
    """
    table = table_of(projection.name)
    found = await (await connection.execute(CHECKPOINT, [projection.name])).fetchone()
    if found is not None:
        await connection.execute(
            "UPDATE views.checkpoints SET poison_sequence = NULL, poison_event = NULL, reason = NULL "
            "WHERE projection = %s AND version = %s AND poison_sequence IS NOT NULL",
            [projection.name, projection.version],
        )
        return
    await connection.execute("DROP TABLE IF EXISTS views." + table.name)
    for statement in tables.create(table):
        await connection.execute(statement)
    await set_checkpoint(connection, projection.name, projection)


async def set_checkpoint(connection: AsyncConnection[Row], name: str, projection: Projection) -> None:
    """Begin at the beginning of the log."""
    await connection.execute(
        "INSERT INTO views.checkpoints (projection, version, readable_from) VALUES (%s, %s, %s) "
        "ON CONFLICT (projection) DO UPDATE SET version = excluded.version, readable_from = excluded.readable_from, "
        "position = 0, poison_sequence = NULL, poison_event = NULL, reason = NULL, "
        "since = now(), since_position = 0, later = now(), later_position = 0, updated_at = now()",
        [name, projection.version, projection.readable_from],
    )


async def _write(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, folded: Folded
) -> None:
    table = table_of(projection.name)
    if folded.changed:
        rows = [table.row(view) for view in folded.changed.values()]
        try:
            async with connection.cursor() as cursor:
                await cursor.executemany(tables.upsert(table, suffix), rows)
        except psycopg.ProgrammingError as exc:
            if exc.sqlstate is None:  # the driver's own: it has no form for a value
                raise TypeError(str(exc)) from exc
            raise


async def _ask(
    connection: AsyncConnection[Row], projection: Projection, suffix: LiteralString, keys: tuple[Key, ...]
) -> AsyncCursor[Row] | None:
    if not keys:
        return None
    columns = [list(column) for column in zip(*keys, strict=True)]
    return await connection.execute(tables.select(table_of(projection.name), suffix), columns)


async def _answer(asked: AsyncCursor[Row] | None, projection: Projection) -> dict[Key, Any]:
    if asked is None:
        return {}
    table = table_of(projection.name)
    return {
        tables.key_of(table, row): msgspec.json.decode(row[-1], type=projection.type) for row in await asked.fetchall()
    }
