"""Rows of the read models that domains bring, for one tenant at a time, as the read-only role.

Rows of another version are shown as this program's type has them. What the database looks for in documents is looked
for here in such rows, a page at a time: a field that they lack has its default.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, LiteralString

import msgspec

from agentplane.projections.engine import Projection
from agentplane.projections.selecting import Listed, counted, selected
from agentplane.store.connection import Row
from agentplane.store.versioned import TenantReader
from agentplane.store.view_tables import table_of

# what a row's document says in a field, as text; documents are bytes of JSON
# what a tenant wrote may have NUL in it, which PostgreSQL's text has not
_FIELD: LiteralString = r"(replace(convert_from(document, 'UTF8'), '\u0000', '\ufffd')::json ->> %s::text)"
_PAGE: Final = 500

Place = tuple[str, str]


class ViewRows:
    """Answers for one tenant; row-level security holds it to that. Raises as agentplane.store.versioned."""

    def __init__(self, reader: TenantReader) -> None:
        self._reader = reader

    async def page(
        self, tenant: str, projection: Projection, *, where: Mapping[str, str], after: Place, limit: int
    ) -> tuple[Listed, ...]:
        """(namespace, name, document) in their order, beyond `after`. `where`: top-level fields and their text."""
        found, version = await self._page(tenant, projection, where, after, limit)
        if not where or version == projection.version:
            return tuple(found)
        chosen: list[Listed] = []
        async for rows in self._pages(tenant, projection, after):
            chosen.extend(selected(rows, where, after))
            if len(chosen) >= limit:
                break
        return tuple(chosen[:limit])

    async def one(self, tenant: str, projection: Projection, namespace: str, name: str) -> bytes | None:
        """One document."""
        table: LiteralString = table_of(projection.name).name
        found = await self._reader.view(
            tenant,
            projection,
            "SELECT document FROM views." + table + " "  # noqa: S608 - a checked name
            "WHERE tenant = %s AND namespace = %s AND name = %s",
            (tenant, namespace, name),
            lambda row: bytes(row[0]),
            other=lambda row: _as_today(projection, row[0]),
        )
        return found[0] if found else None

    async def counts(
        self, tenant: str, projection: Projection, *, by: str, count: str, after: str, limit: int
    ) -> tuple[tuple[str, str, int], ...]:
        """(value of `by`, value of `count`, rows) of the next `limit` values of `by`, in order."""
        table: LiteralString = table_of(projection.name).name
        said: LiteralString = (
            "SELECT " + _FIELD + ' COLLATE "C" AS owner, ' + _FIELD + " AS what "
            "FROM views." + table + " WHERE tenant = %s"
        )
        found, version = await self._reader.versioned(
            tenant,
            projection,
            "WITH said AS (" + said + "), "  # noqa: S608 - the statement above
            "owners AS (SELECT DISTINCT owner FROM said WHERE owner > %s ORDER BY owner LIMIT %s) "
            "SELECT owner, coalesce(what, ''), count(*) FROM said JOIN owners USING (owner) "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            (by, count, tenant, after, limit),
            lambda row: (str(row[0]), str(row[1]), int(row[2])),
        )
        if version == projection.version:
            return tuple(found)
        documents = [row[2] async for rows in self._pages(tenant, projection, ("", "")) for row in rows]
        groups = counted(documents, by, count, after)
        owners = list(dict.fromkeys(group[0] for group in groups))[:limit]
        return tuple(group for group in groups if group[0] in owners)

    async def _pages(self, tenant: str, projection: Projection, after: Place) -> AsyncIterator[list[Listed]]:
        """All rows beyond a place, a page at a time."""
        while True:
            rows, _ = await self._page(tenant, projection, {}, after, _PAGE)
            yield rows
            if len(rows) < _PAGE:
                return
            after = rows[-1][:2]

    async def _page(
        self, tenant: str, projection: Projection, where: Mapping[str, str], after: Place, limit: int
    ) -> tuple[list[Listed], int]:
        table: LiteralString = table_of(projection.name).name
        conditions: LiteralString = " ".join(["AND " + _FIELD + " = %s" for _ in where])
        given = [text for pair in where.items() for text in pair]
        return await self._reader.versioned(
            tenant,
            projection,
            "SELECT namespace, name, document FROM views." + table + " "  # noqa: S608 - a checked name
            "WHERE tenant = %s AND (namespace, name) > (%s, %s) " + conditions + " ORDER BY namespace, name LIMIT %s",
            (tenant, *after, *given, limit),
            _listed,
            other=lambda row: (str(row[0]), str(row[1]), _as_today(projection, row[2])),
        )


def _listed(row: Row) -> Listed:
    return str(row[0]), str(row[1]), bytes(row[2])


def _as_today(projection: Projection, document: Any) -> bytes:  # noqa: ANN401 - bytes of JSON
    """A document of another version, as this program writes it. Raises msgspec.DecodeError."""
    return msgspec.json.encode(msgspec.json.decode(document, type=projection.type))
