"""Rows of the read models that domains bring, for one tenant at a time, as the read-only role."""

from collections.abc import Mapping
from typing import LiteralString

from agentplane.store.view_reader import ViewReader
from agentplane.store.view_tables import table_of

# what a row's document says in a field, as text; documents are bytes of JSON
# what a tenant wrote may have NUL in it, which PostgreSQL's text has not
_FIELD: LiteralString = r"(replace(convert_from(document, 'UTF8'), '\u0000', '\ufffd')::json ->> %s::text)"


class ViewRows:
    """Answers for one tenant; row-level security holds it to that. Raises as agentplane.store.view_reader."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    async def page(
        self, tenant: str, projection: str, *, where: Mapping[str, str], after: tuple[str, str], limit: int
    ) -> tuple[tuple[str, str, bytes], ...]:
        """(namespace, name, document) in their order, beyond `after`. `where`: top-level fields and their text."""
        table: LiteralString = table_of(projection).name
        conditions: LiteralString = " ".join(["AND " + _FIELD + " = %s" for _ in where])
        given = [text for pair in where.items() for text in pair]
        rows = await self._reader.rows(
            tenant,
            "SELECT namespace, name, document FROM views." + table + " "  # noqa: S608 - a checked name
            "WHERE tenant = %s AND (namespace, name) > (%s, %s) " + conditions + " ORDER BY namespace, name LIMIT %s",
            (tenant, *after, *given, limit),
        )
        return tuple((str(row[0]), str(row[1]), bytes(row[2])) for row in rows)

    async def one(self, tenant: str, projection: str, namespace: str, name: str) -> bytes | None:
        """One document."""
        table: LiteralString = table_of(projection).name
        rows = await self._reader.rows(
            tenant,
            "SELECT document FROM views." + table + " "  # noqa: S608 - a checked name
            "WHERE tenant = %s AND namespace = %s AND name = %s",
            (tenant, namespace, name),
        )
        return bytes(rows[0][0]) if rows else None

    async def counts(
        self, tenant: str, projection: str, *, by: str, count: str, after: str, limit: int
    ) -> tuple[tuple[str, str, int], ...]:
        """(value of `by`, value of `count`, rows) of the next `limit` values of `by`, in order."""
        table: LiteralString = table_of(projection).name
        said: LiteralString = (
            "SELECT " + _FIELD + ' COLLATE "C" AS owner, ' + _FIELD + " AS what "
            "FROM views." + table + " WHERE tenant = %s"
        )
        rows = await self._reader.rows(
            tenant,
            "WITH said AS (" + said + "), "  # noqa: S608 - the statement above
            "owners AS (SELECT DISTINCT owner FROM said WHERE owner > %s ORDER BY owner LIMIT %s) "
            "SELECT owner, coalesce(what, ''), count(*) FROM said JOIN owners USING (owner) "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            (by, count, tenant, after, limit),
        )
        return tuple((str(row[0]), str(row[1]), int(row[2])) for row in rows)
