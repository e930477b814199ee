"""Which versions of a projection are alive: programs say so by shared advisory locks, which end with their sessions.

So a program that was killed claims nothing any more, and nobody has to clean up after it.
"""

import zlib
from collections.abc import Iterable, Mapping
from typing import Final, LiteralString

from psycopg import AsyncConnection

from agentplane.projections.engine import Projection
from agentplane.store.connection import Row

_CLAIM: Final[LiteralString] = (
    "SELECT pg_advisory_lock_shared(place, version) FROM unnest(%s::int[], %s::int[]) AS mine(place, version)"
)
_ALIVE: Final[LiteralString] = """
    SELECT DISTINCT classid::bigint, objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_MASK: Final = 0xFFFF_FFFF


async def claim(connection: AsyncConnection[Row], projections: Iterable[Projection]) -> None:
    """Say, for as long as this connection lives, that a program keeps these versions."""
    mine = list(projections)
    places = [_signed(_place(each.name)) for each in mine]
    await connection.execute(_CLAIM, [places, [each.version for each in mine]])


async def alive(connection: AsyncConnection[Row], names: Iterable[str]) -> Mapping[str, frozenset[int]]:
    """The versions that programs keep, our own included, by projection."""
    found = await (await connection.execute(_ALIVE)).fetchall()
    return {name: frozenset(int(row[1]) for row in found if row[0] == _place(name)) for name in names}


def _place(name: str) -> int:
    """A number for a projection among all advisory locks of the database."""
    return zlib.crc32(b"agentplane projection " + name.encode())


def _signed(number: int) -> int:
    """As PostgreSQL's integer has these 32 bits."""
    return number - _MASK - 1 if number > _MASK >> 1 else number
