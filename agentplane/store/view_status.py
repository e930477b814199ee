"""How the read models do, out of their checkpoints: by any role that may SELECT them."""

from collections.abc import Mapping
from typing import Any, Final, LiteralString

from msgspec.structs import replace
from psycopg import AsyncConnection

from agentplane.projections.status import LATE_S, Building, Poison, Status, percent, state_of
from agentplane.store.connection import Row
from agentplane.store.view_tables import REBUILD_SUFFIX

_STATUS: Final[LiteralString] = """
    SELECT projection, version, position, head - position, poison_sequence, poison_event, reason, rebuilt_at,
        updated_at, (position - since_position) / greatest(extract(epoch FROM now() - since), 1),
        updated_at > now() - interval '1 min', head,
        CASE WHEN head > position
            THEN extract(epoch FROM clock_timestamp() - log.recorded_at(position + 1)) ELSE 0 END
    FROM views.checkpoints, (SELECT log.head() AS head) AS log ORDER BY projection"""


async def read_status(connection: AsyncConnection[Row], wanted: Mapping[str, int] | None = None) -> tuple[Status, ...]:
    """How every projection does. `wanted`: the versions that this program keeps; None: that is not known."""
    rows = await (await connection.execute(_STATUS)).fetchall()
    shadows = {row[0].removesuffix(REBUILD_SUFFIX): row for row in rows if row[0].endswith(REBUILD_SUFFIX)}
    live = [row for row in rows if not row[0].endswith(REBUILD_SUFFIX)]
    return tuple(_status(row, shadows.get(row[0]), wanted) for row in live)


def _status(row: Row, shadow: Row | None, wanted: Mapping[str, int] | None) -> Status:
    status = Status(
        projection=row[0],
        version=row[1],
        position=row[2],
        lag=max(row[3], 0),
        poison=_poison(row[4:7]),
        rebuilt_at=row[7],
        updated_at=row[8],
        events_per_s=_rate(row),
        lag_s=max(0.0, round(float(row[12] or 0), 1)),
        rebuilding=_rebuilding(row, shadow),
        building=_building(row, shadow, None if wanted is None else wanted.get(row[0])),
    )
    removed = wanted is not None and status.projection not in wanted and _is_left(row, status)
    status = replace(status, removed=removed)
    return replace(status, state=state_of(status))


def _is_left(row: Row, status: Status) -> bool:
    """Whether nobody follows the log for it: a newer projector beside an older program's query service does."""
    return bool(status.lag) and status.lag_s > LATE_S and not row[10]


def _rebuilding(row: Row, shadow: Row | None) -> int | None:
    """How far a comparison is; one that has not moved for a minute was left behind by a process that was killed."""
    compared = shadow is not None and shadow[1] == row[1] and shadow[10]
    return shadow[2] if shadow is not None and compared else None


def _building(row: Row, shadow: Row | None, wanted: int | None) -> Building | None:
    """Another version that is built, or will be as soon as its turn comes."""
    if shadow is not None and shadow[1] != row[1] and (shadow[10] or shadow[1] == wanted):
        return Building(
            version=shadow[1],
            position=shadow[2],
            percent=percent(shadow[2], shadow[11]),
            events_per_s=_rate(shadow),
            poison=_poison(shadow[4:7]),
        )
    return Building(version=wanted, position=0, percent=0) if wanted is not None and wanted > row[1] else None


def _rate(row: Row) -> float:
    return max(0.0, round(float(row[9]), 1))


def _poison(columns: tuple[Any, ...]) -> Poison | None:
    sequence, event_id, reason = columns
    return None if sequence is None else Poison(sequence=sequence, event_id=event_id, reason=reason)
