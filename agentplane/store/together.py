"""New events into all read models that stand at the same place: one transaction, and two round trips for all of them.

What `agentplane.store.projecting.step` does for one projection happens here for many, with the same folds and under the
same locks. Whatever does not go smoothly (a fold that fails, a row that the database does not take, a projection that
somebody else moved) is left to `step`, one projection after the other, so that a broken one stops alone.
"""
# ruff: noqa: S608 - only literals are spliced (LiteralString): mypy refuses anything else

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.pq.abc import PGresult

from agentplane.projections.engine import Folded, Key, Projection, fold, passes_by, touched
from agentplane.store import sql
from agentplane.store import view_tables as tables
from agentplane.store.connection import Row
from agentplane.store.pipeline import Pipeline, forget, rows
from agentplane.store.projecting import UNFIT, Events
from agentplane.store.tallying import ADD
from agentplane.store.view_tables import table_of

log = structlog.get_logger(__name__)

# those that are free and where we believe them; whoever holds another one need not wait for us, nor we for him
_LOCK: Final[LiteralString] = """
    SELECT projection FROM views.checkpoints
    JOIN unnest(string_to_array(%s, ','), string_to_array(%s, ',')::int[]) AS known(name, current)
        ON projection = name AND version = current
    WHERE position = %s AND poison_sequence IS NULL FOR UPDATE OF checkpoints SKIP LOCKED"""
_ADVANCE: Final[LiteralString] = (
    "UPDATE views.checkpoints SET position = %s, updated_at = now(),"
    + tables.MARK
    + " WHERE projection = ANY(string_to_array(%s, ','))"
)


class Moved(NamedTuple):
    """The projections that were moved to the end of the page, and the events after it, read in passing."""

    names: frozenset[str]
    following: Events


class _Asked(NamedTuple):
    """A projection, the keys that a page touches, and where its views are among the results."""

    projection: Projection
    keys: tuple[Key, ...]
    places: tuple[int, ...]


async def read(connection: AsyncConnection[Row], after: int, limit: int) -> Events:
    """The next events of the log."""
    pipeline = Pipeline(connection)
    found = pipeline.add(sql.READ, (after, limit))
    return _events(connection, (await pipeline.run())[found])


async def move(
    connection: AsyncConnection[Row], projections: Sequence[Projection], position: int, events: Events, *, limit: int
) -> Moved | None:
    """Fold `events`, which follow `position`, into all these projections; afterwards read the next `limit` events.

    None: nothing was written; take them one by one. Those that are not at `position`, or that somebody holds, are left.

    Raises:
        psycopg.OperationalError: the connection broke; all was written or nothing.
    """
    try:
        names, folded = await _folded(connection, projections, position, events)
        if names and not any(each.poison for each in folded.values()):
            return await _written(connection, names, folded, events[-1].sequence, limit)
    except (psycopg.Error, *UNFIT) as exc:  # `step` finds out whose it is
        if connection.closed:
            raise
        log.warning("projections.separately", reason=type(exc).__name__)
    await connection.rollback()
    forget(connection)
    return None


async def _folded(
    connection: AsyncConnection[Row], projections: Sequence[Projection], position: int, events: Events
) -> tuple[frozenset[str], dict[str, Folded]]:
    """Begin, lock, and fold what is ours; the names that are, and what changes."""
    pipeline = Pipeline(connection)
    pipeline.add("BEGIN")
    names, versions = (
        ",".join([each.name for each in projections]),
        ",".join([str(each.version) for each in projections]),
    )
    locked = pipeline.add(_LOCK, (names, versions, position))
    asked = [_ask(pipeline, each, events) for each in projections if not passes_by(each, events)]
    results = await pipeline.run()
    ours = frozenset(str(row[0]) for row in rows(connection, results[locked]))
    mine = [each for each in asked if each.projection.name in ours]
    return ours, {each.projection.name: fold(each.projection, _views(each, results), events, position) for each in mine}


def _ask(pipeline: Pipeline, projection: Projection, events: Events) -> _Asked:
    if projection.name in ADD:
        return _Asked(projection, (), ())
    keys, statement = touched(projection, events), _select(projection.name)
    return _Asked(projection, keys, tuple(pipeline.add(statement, key) for key in keys))


def _views(asked: _Asked, results: Sequence[PGresult]) -> dict[Key, Any]:
    decode, type_ = msgspec.json.decode, asked.projection.type
    answers = zip(asked.keys, [results[place] for place in asked.places], strict=True)
    return {key: decode(found.get_value(0, 0) or b"", type=type_) for key, found in answers if found.ntuples}


async def _written(
    connection: AsyncConnection[Row], names: frozenset[str], folded: Mapping[str, Folded], until: int, limit: int
) -> Moved:
    pipeline = Pipeline(connection)
    for name, each in folded.items():
        table, statement = table_of(name), _upsert(name)
        for view in each.changed.values():
            pipeline.add(statement, table.row(view))
    pipeline.add(_ADVANCE, (until, ",".join(sorted(names))))
    pipeline.add("COMMIT")
    following = pipeline.add(sql.READ, (until, limit))
    results = await pipeline.run()
    return Moved(names, _events(connection, results[following]))


def _events(connection: AsyncConnection[Row], found: PGresult) -> Events:
    return tuple(map(sql.stored_event, rows(connection, found)))


@lru_cache(maxsize=256)
def _select(projection: str) -> LiteralString:
    """The document of one key."""
    table = table_of(projection)
    keys: LiteralString = " AND ".join([key + " = %s" for key in table.key])
    return "SELECT document FROM views." + table.name + " WHERE " + keys


@lru_cache(maxsize=256)
def _upsert(projection: str) -> LiteralString:
    return ADD.get(projection) or tables.upsert(table_of(projection))
