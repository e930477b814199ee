"""Questions about the log for one tenant at a time: filtered pages, one event, counts, places. Read-only role.

A statement says only what was asked, so that the planner sees which index fits. Pages are bounded in items and bytes
before any data leave the server.
"""
# ruff: noqa: S608 - only literals are spliced (LiteralString): mypy refuses anything else

import uuid
from datetime import datetime
from typing import Any, Final, LiteralString

import msgspec

from agentplane.errors import Refused
from agentplane.events.model import Phase, StoredEvent, StreamId
from agentplane.events.origin import PREFIX as IMPORTED
from agentplane.history.filters import EventFilter, like
from agentplane.imports.model import Known
from agentplane.store import sql
from agentplane.store.view_reader import ViewReader

# the columns of an event, in the order in which the store reads them
_COLUMNS: Final[LiteralString] = sql.READ.removeprefix("SELECT ").split(" FROM ", maxsplit=1)[0]

_GROUPS: Final[dict[str, LiteralString]] = {each: each for each in ("type", "kind", "phase", "actor", "name")}

_HEAD: Final[LiteralString] = "SELECT log.head()"
_SEQUENCE_AT: Final[LiteralString] = "SELECT log.sequence_at(%s, %s)"


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one group; first and last are sequences."""

    value: str
    count: int
    first: int
    last: int
    last_recorded_at: datetime


class LogQueries:
    """The log as one tenant may see it. Everything raises Transient, Denied or Broken as the reader does."""

    def __init__(self, reader: ViewReader, *, max_page_bytes: int = 1024 * 1024) -> None:
        """`max_page_bytes`: data of a page; an event with more than this is a page of its own."""
        self._reader = reader
        self._max_page_bytes = max_page_bytes

    async def head(self) -> int:
        """The last sequence of the log; 0 when it is empty."""
        return int((await self._reader.rows("", _HEAD, ()))[0][0])

    async def sequence_at(self, moment: datetime, *, inclusive: bool) -> int:
        """The last sequence recorded at (`inclusive`) or before a moment; 0 when there is none."""
        return int((await self._reader.rows("", _SEQUENCE_AT, (moment, inclusive)))[0][0])

    async def events(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, limit: int, newest: bool = False
    ) -> tuple[tuple[StoredEvent, ...], bool]:
        """A page in order of sequence, after < sequence <= upto, and whether there are more.

        `newest`: the last events that match instead of the first.
        """
        where, values = _where(tenant, wish, after, upto)
        order: LiteralString = "sequence DESC" if newest else "sequence"
        statement: LiteralString = (
            f"SELECT {_COLUMNS}, found FROM ("
            f"SELECT {_COLUMNS}, count(*) OVER () AS found, "
            f"sum(octet_length(data)) OVER (ORDER BY {order}) AS size, row_number() OVER (ORDER BY {order}) AS place "
            f"FROM (SELECT {_COLUMNS} FROM log.events WHERE {where} ORDER BY {order} LIMIT %s) page"
            f") sized WHERE size <= %s OR place = 1 ORDER BY {order} LIMIT %s"
        )
        rows = await self._reader.rows(
            tenant, statement, (*values, limit + 1, self._max_page_bytes, limit), binary=True
        )
        more = bool(rows) and int(rows[0][16]) > len(rows)
        found = tuple(sql.stored_event(row) for row in rows)
        return (found[::-1] if newest else found), more

    async def event(self, tenant: str, which: uuid.UUID | int) -> StoredEvent | None:
        """One of the tenant's events by its id or sequence; None: no such event, or another tenant's."""
        column: LiteralString = "id" if isinstance(which, uuid.UUID) else "sequence"
        statement: LiteralString = f"SELECT {_COLUMNS} FROM log.events WHERE {column} = %s AND tenant = %s"
        rows = await self._reader.rows(tenant, statement, (which, tenant), binary=True)
        return sql.stored_event(rows[0]) if rows else None

    async def known(self, tenant: str, ids: tuple[uuid.UUID, ...]) -> dict[uuid.UUID, Known]:
        """Which of these ids the tenant's log has, and under which digest; another tenant's are not there."""
        rows = await self._reader.rows(
            tenant,
            "SELECT id, digest, kind, namespace, name, phase, type_version FROM log.events "
            "WHERE id = ANY(%s) AND tenant = %s",
            (list(ids), tenant),
        )
        return {
            row[0]: Known(
                digest=bytes(row[1]),
                stream=StreamId(tenant, row[2], row[3], row[4]),
                phase=Phase(row[5]),
                type_version=row[6],
            )
            for row in rows
        }

    async def names(
        self, tenant: str, kind: str, *, prefix: str, before: int | None, upto: int, limit: int
    ) -> tuple[tuple[str, int], ...]:
        """Resources of a kind that had begun by `upto`, newest first: name and first sequence."""
        statement: LiteralString = (
            "SELECT name, min(sequence) FROM log.events WHERE tenant = %s AND kind = %s AND stream_version = 1 "
            "AND name ^@ %s AND sequence <= %s AND NOT namespace ^@ %s GROUP BY name"
            " HAVING min(sequence) < %s ORDER BY min(sequence) DESC LIMIT %s"
        )
        below = upto + 1 if before is None else before
        rows = await self._reader.rows(tenant, statement, (tenant, kind, prefix, upto, IMPORTED, below, limit))
        return tuple((str(row[0]), int(row[1])) for row in rows)

    async def count(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, by: str, limit: int
    ) -> tuple[Count, ...]:
        """How many events there are of each value of a column, the most frequent first.

        Raises:
            Refused: code `query.group`.
        """
        if by not in _GROUPS:
            raise Refused(f"{by!r} is nothing to count by", code="query.group", hint=", ".join(_GROUPS))
        where, values = _where(tenant, wish, after, upto)
        group = _GROUPS[by]
        statement: LiteralString = (
            f"SELECT {group}, count(*), min(sequence), max(sequence), max(recorded_at) FROM log.events WHERE {where} "
            f"GROUP BY {group} ORDER BY count(*) DESC, {group} LIMIT %s"
        )
        rows = await self._reader.rows(tenant, statement, (*values, limit))
        return tuple(
            Count(value=row[0], count=row[1], first=row[2], last=row[3], last_recorded_at=row[4]) for row in rows
        )


def _where(tenant: str, wish: EventFilter, after: int, upto: int) -> tuple[LiteralString, tuple[Any, ...]]:
    conditions: list[LiteralString] = ["tenant = %s", "sequence > %s", "sequence <= %s"]
    values: list[Any] = [tenant, after, upto]
    given: tuple[tuple[LiteralString, Any], ...] = (
        ("type LIKE %s", None if wish.type is None else like(wish.type)),
        ("actor LIKE %s", None if wish.actor is None else like(wish.actor)),
        ("kind = %s", wish.kind),
        ("namespace = %s", wish.namespace),
        ("name = %s", wish.name),
        ("phase = %s", None if wish.phase is None else wish.phase.value),
        ("correlation_id = %s", wish.correlation),
        ("causation_id = ANY(%s)", None if wish.causes is None else list(wish.causes)),
    )
    for condition, value in given:
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions), tuple(values)
