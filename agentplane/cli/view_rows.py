"""Questions about read models that domains bring, over one connection: lists, one row, and rows summed up."""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agentplane.errors import NotFound
from agentplane.ids import DNS_LABEL

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus
    from agentplane.domains.views import Grouping, Look, View
    from agentplane.history.places import Place

_PAGE: Final = 500

Row = dict[str, Any]


class Asker:
    """One connection's questions, and the moment at which somebody looks."""

    def __init__(self, bus: "NatsBus", tenant: str, stale_after: timedelta, namespace: str | None) -> None:
        from agentplane.queries.client import QueryClient
        from agentplane.queries.views import ViewClient

        self._client = ViewClient(bus, tenant)
        self._events = QueryClient(bus, tenant)
        self._stale_after = stale_after
        self._namespace = namespace

    async def rows(self, view: "View", where: dict[str, str], limit: int, at: "Place | None") -> tuple[list[Row], bool]:
        """The first rows, and whether there are more."""
        from agentplane.domains.views import shown
        from agentplane.queries.views import ViewsList

        if view.grouping is not None:
            return await self._groups(view.plural, view.grouping, limit, at)
        rows: list[Row] = []
        wish: ViewsList | None = ViewsList(view=view.plural, where=where, at=at)
        while wish is not None and len(rows) < limit:
            page = await self._client.page(msgspec.structs.replace(wish, limit=min(_PAGE, limit - len(rows))))
            rows.extend(msgspec.json.decode(row) for row in page.rows)
            wish = None if page.next is None else msgspec.structs.replace(wish, after=page.next)
        look = await self._look(at)
        return [shown(view, row, look) for row in rows], wish is not None

    async def one(self, view: "View", name: str, at: "Place | None", *, whole: bool = False) -> Row:
        """One row; of a group, with `whole`, also its rows."""
        from agentplane.domains.views import shown
        from agentplane.queries.views import ViewGet

        if view.grouping is not None:
            return await self._group(view, view.grouping, name, at, whole=whole)
        namespace, bare = self._namespace or "default", name
        if name.startswith("imported.") and "/" in name:  # other names may have a slash of their own
            namespace, _, bare = name.partition("/")
        wish = ViewGet(view=view.plural, name=bare, namespace=namespace, at=at)
        try:
            row = await self._client.one(wish)
        except NotFound:
            within, slash, bare = name.partition("/")
            if not (slash and DNS_LABEL.fullmatch(within)):
                raise
            row = await self._client.one(msgspec.structs.replace(wish, name=bare, namespace=within))
        return shown(view, row, await self._look(at))

    async def each(
        self, view: "View", names: Sequence[str], at: "Place | None", *, whole: bool = False
    ) -> tuple[list[Row], list[NotFound]]:
        """The rows that are there of these names, and what is not."""
        rows: list[Row] = []
        missing: list[NotFound] = []
        for name in names:
            try:
                rows.append(await self.one(view, name, at, whole=whole))
            except NotFound as error:
                missing.append(error)
        return rows, missing

    async def _groups(
        self, plural: str, grouping: "Grouping", limit: int, at: "Place | None"
    ) -> tuple[list[Row], bool]:
        from agentplane.queries.views import ViewsCount

        found: list[Row] = []
        wish: ViewsCount | None = ViewsCount(view=plural, at=at)
        while wish is not None and len(found) < limit:
            page = await self._client.counts(msgspec.structs.replace(wish, limit=min(_PAGE, limit - len(found))))
            found.extend(_summed(grouping, each.name, each.counts) for each in page.groups)
            wish = None if page.next is None else msgspec.structs.replace(wish, after=page.next)
        return found, wish is not None

    async def _group(self, view: "View", grouping: "Grouping", name: str, at: "Place | None", *, whole: bool) -> Row:
        from agentplane.domains.views import shown
        from agentplane.queries.views import ViewsList

        wish: ViewsList | None = ViewsList(view=view.plural, where={grouping.by: name}, limit=_PAGE, at=at)
        rows: list[Row] = []
        while wish is not None:
            page = await self._client.page(wish)
            rows.extend(msgspec.json.decode(row) for row in page.rows)
            wish = None if page.next is None else msgspec.structs.replace(wish, after=page.next)
        if not rows:
            raise NotFound(f"no {view.singular} {name[:80]!r}", code="view.row-unknown")
        counts = {value: sum(row[grouping.count] == value for row in rows) for value in grouping.values}
        look = await self._look(at)
        summed = _summed(grouping, name, counts)
        return {**summed, grouping.rows: [shown(view, row, look) for row in rows]} if whole else summed

    async def _look(self, at: "Place | None") -> "Look":
        from agentplane.domains.views import Look

        now = datetime.now(UTC)
        if at is not None and at.time is not None:
            now = at.time
        elif at is not None and at.sequence is not None:
            with contextlib.suppress(NotFound):  # another tenant's, or beyond the end: nothing tells when that was
                now = (await self._events.event(at.sequence)).recorded_at
        return Look(now=now, stale_after=self._stale_after)


def _summed(grouping: "Grouping", name: str, counts: dict[str, int]) -> Row:
    return {"name": name, **{value: counts.get(value, 0) for value in grouping.values}, "total": sum(counts.values())}
