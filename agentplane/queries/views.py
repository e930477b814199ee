"""Questions about the read models that domains bring: rows, one row, and rows summed up. One tenant at a time.

How they were at a place in the log is a fresh fold of the tenant's events up to it, by the very projection that keeps
them. What depends on the moment of looking is added by whoever asks (agentplane.domains.views).
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Protocol

import msgspec

from agentplane.domains.registry import Registry
from agentplane.domains.views import View
from agentplane.errors import Broken, NotFound, Refused
from agentplane.events.model import Phase, StoredEvent
from agentplane.history.filters import EventFilter
from agentplane.history.places import MAX_SEQUENCE, Place
from agentplane.ports import Bus
from agentplane.projections.engine import Projection, fold
from agentplane.projections.selecting import counted, selected
from agentplane.queries.asking import ask
from agentplane.queries.history import EventLog
from agentplane.queries.paging import bounded, page_limit, question
from agentplane.runs.model import Wire

VIEWS_LIST: Final = "views-list"
VIEW_GET: Final = "view-get"
VIEWS_COUNT: Final = "views-count"
PROJECTION: Final = "projection/"  # before a projection's name: its rows as they are, whatever view shows them
_FOLD_PAGE: Final = 1000
_MAX_WHERE: Final = 8


class ViewsList(Wire, frozen=True, kw_only=True):
    """Rows of a view by its plural, in order of namespace and name. `after`: the `next` of the page before.

    `where`: top-level fields, and the text that they must be. `at`: as they were there.
    """

    view: str
    where: dict[str, str] = msgspec.field(default_factory=dict)
    after: tuple[str, str] = ("", "")
    limit: int = 50
    at: Place | None = None


class ViewsPage(Wire, frozen=True, kw_only=True):
    """`next` is the `after` of the next page; None: there are no more."""

    rows: tuple[msgspec.Raw, ...]
    next: tuple[str, str] | None


class ViewGet(Wire, frozen=True, kw_only=True):
    """Answered by a row."""

    view: str
    name: str
    namespace: str = "default"
    at: Place | None = None


class ViewsCount(Wire, frozen=True, kw_only=True):
    """A view that sums up its rows, as its grouping says. `after`: the last value of the page before."""

    view: str
    after: str = ""
    limit: int = 50
    at: Place | None = None


class Group(Wire, frozen=True, kw_only=True):
    """Rows with one value, counted."""

    name: str
    counts: dict[str, int]


class GroupsPage(Wire, frozen=True, kw_only=True):
    """In order of name. `next` is the `after` of the next page."""

    groups: tuple[Group, ...]
    next: str | None


class Rows(Protocol):
    """What the answers are read from; agentplane.store.view_rows.ViewRows."""

    async def page(
        self, tenant: str, projection: Projection, *, where: Mapping[str, str], after: tuple[str, str], limit: int
    ) -> tuple[tuple[str, str, bytes], ...]:
        """(namespace, name, document) in order."""
        ...

    async def one(self, tenant: str, projection: Projection, namespace: str, name: str) -> bytes | None:
        """One document."""
        ...

    async def counts(
        self, tenant: str, projection: Projection, *, by: str, count: str, after: str, limit: int
    ) -> tuple[tuple[str, str, int], ...]:
        """(value of `by`, value of `count`, rows)."""
        ...


class ViewAnswers:
    """The query service's answers about views."""

    def __init__(self, registry: Registry, rows: Rows, log: EventLog) -> None:
        self._registry = registry
        self._rows = rows
        self._log = log

    async def page(self, tenant: str, data: bytes) -> ViewsPage:
        """A page of rows. Raises NotFound `view.unknown`, Refused `query.field`, `query.limit`."""
        wish = question(data, ViewsList)
        view, limit = self._view(wish.view), page_limit(wish.limit)
        _check_fields(view, wish.where)
        if wish.at is None:
            found = await self._rows.page(tenant, view.projection, where=wish.where, after=wish.after, limit=limit + 1)
        else:
            rows = await self._at(tenant, view, wish.at)
            found = tuple(selected(((*place, each) for place, each in rows.items()), wish.where, wish.after))[
                : limit + 1
            ]
        page = bounded([msgspec.Raw(row[2]) for row in found[:limit]])
        more = len(page) < len(found)
        return ViewsPage(rows=page, next=found[len(page) - 1][:2] if more and page else None)

    async def one(self, tenant: str, data: bytes) -> msgspec.Raw:
        """One row. Raises NotFound `view.unknown`, `view.row-unknown`."""
        wish = question(data, ViewGet)
        view = self._view(wish.view)
        if wish.at is None:
            found = await self._rows.one(tenant, view.projection, wish.namespace, wish.name)
        else:
            found = (await self._at(tenant, view, wish.at, wish.name)).get((wish.namespace, wish.name))
        if found is None:
            raise NotFound(
                f"no {view.singular} {wish.name[:80]!r}",
                code="view.row-unknown",
                hint=f"`agentplane get {view.plural}` lists them",
            )
        return msgspec.Raw(found)

    async def counts(self, tenant: str, data: bytes) -> GroupsPage:
        """Rows summed up. Raises NotFound `view.unknown`, Refused `query.field`."""
        wish = question(data, ViewsCount)
        view, limit = self._view(wish.view), page_limit(wish.limit)
        if view.grouping is None:
            raise Refused(f"{view.plural} are not summed up", code="query.field")
        by, what = view.grouping.by, view.grouping.count
        if wish.at is None:
            found = await self._rows.counts(
                tenant, view.projection, by=by, count=what, after=wish.after, limit=limit + 1
            )
        else:
            found = counted((await self._at(tenant, view, wish.at)).values(), by, what, wish.after)
        groups: dict[str, dict[str, int]] = {}
        for owner, value, number in found:
            groups.setdefault(owner, {})[value] = number
        listed = [Group(name=name, counts=counts) for name, counts in groups.items()]
        page = bounded(listed[:limit])
        return GroupsPage(groups=page, next=page[-1].name if page and len(page) < len(listed) else None)

    def _view(self, word: str) -> View:
        view = self._registry.view(word) or self._alone(word)
        if view is None:
            known = ", ".join(sorted(self._registry.views))
            raise NotFound(f"no view {word[:63]!r}", code="view.unknown", hint=f"there are: {known}")
        return view

    def _alone(self, word: str) -> View | None:
        """A projection that no view shows."""
        found = self._registry.projections.get(word.removeprefix(PROJECTION))
        if found is None or not word.startswith(PROJECTION):
            return None
        return View(plural=word, singular=word, projection=found, columns=())

    async def _at(self, tenant: str, view: View, at: Place, name: str | None = None) -> dict[tuple[str, str], bytes]:
        """Documents by namespace and name as they were, in order. `name`: only that one."""
        projection = self._registry.projections[view.projection.name]
        known: dict[tuple[str, ...], Any] = {}
        async for page in self._pages(tenant, await self._upto(at)):
            keys = ((projection.key(stored), stored) for stored in page)
            wanted = [stored for key, stored in keys if key is not None and name in {None, key[3]}]
            done = fold(projection, known, wanted, 0)
            if done.poison is not None:
                raise Broken(done.poison.reason, code="projection.poison", where=f"event {done.poison.sequence}")
            known |= done.changed
        return {(key[2], key[3]): msgspec.json.encode(known[key]) for key in sorted(known)}

    async def _pages(self, tenant: str, upto: int) -> AsyncIterator[tuple[StoredEvent, ...]]:
        after, more = 0, True
        while more:
            page, more = await self._log.events(
                tenant, EventFilter(phase=Phase.FACT), after=after, upto=upto, limit=_FOLD_PAGE
            )
            yield page
            after = page[-1].sequence if page else upto

    async def _upto(self, at: Place) -> int:
        if at.time is not None:
            return await self._log.sequence_at(at.time, inclusive=True)
        if at.sequence is None or not 0 <= at.sequence <= MAX_SEQUENCE:
            raise Refused("a place is a sequence number or a time", code="query.malformed")
        return min(at.sequence, await self._log.head())


def _check_fields(view: View, where: Mapping[str, str]) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(view.projection.type)}
    wrong = sorted(where.keys() - known)
    if wrong or len(where) > _MAX_WHERE or any("\0" in text for text in where.values()):
        words = f"no field {wrong[0][:63]!r} in {view.plural}" if wrong else "too much to look for"
        raise Refused(words, code="query.field", hint=", ".join(sorted(known)))


class ViewClient:
    """Asking about one tenant's views. Everything raises what the service raised, or Transient."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = 30.0) -> None:
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s

    async def page(self, wish: ViewsList) -> ViewsPage:
        """A page of rows."""
        return await ask(self._bus, self._tenant, VIEWS_LIST, wish, ViewsPage, timeout_s=self._timeout_s)

    async def one(self, wish: ViewGet) -> dict[str, Any]:
        """One row. Raises NotFound, code `view.row-unknown`."""
        return await ask(self._bus, self._tenant, VIEW_GET, wish, dict[str, Any], timeout_s=self._timeout_s)

    async def counts(self, wish: ViewsCount) -> GroupsPage:
        """Rows summed up."""
        return await ask(self._bus, self._tenant, VIEWS_COUNT, wish, GroupsPage, timeout_s=self._timeout_s)
