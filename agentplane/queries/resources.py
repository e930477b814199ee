"""Questions about resources of any kind: what is asked, how it is answered, how it is asked. One tenant at a time."""

from typing import Final, Protocol, TypeVar

from agentplane.domains.resource import Resource
from agentplane.errors import NotFound
from agentplane.history.places import Place
from agentplane.ports import Bus
from agentplane.queries import protocol as wire
from agentplane.queries.asking import ask
from agentplane.queries.paging import bounded, page_limit, question
from agentplane.queries.selectors import matches, parse
from agentplane.runs.model import Wire

RESOURCES_LIST: Final = "resources-list"
RESOURCE_GET: Final = "resource-get"

_LOOKS: Final = 10  # of a thousand, for a page of what few labels select; the rest is the next page's

T = TypeVar("T")


class ResourcesList(Wire, frozen=True, kw_only=True):
    """Those that exist, in order of namespace and name. `after`: `<namespace>/<name>` where a page ended.

    `selector`: conditions on labels (agentplane.queries.selectors). `at`: as they were there, folded from the log.
    """

    kind: str
    namespace: str | None = None
    after: str = ""
    limit: int = 50
    selector: str = ""
    at: Place | None = None


class ResourcesPage(Wire, frozen=True, kw_only=True):
    """`next` is the `after` of the next page; None: there are no more."""

    resources: tuple[Resource, ...]
    next: str | None


class ResourceGet(Wire, frozen=True, kw_only=True):
    """Answered by a Resource. `deleted`: also one that is no more. `at`: as it was there."""

    kind: str
    name: str
    namespace: str = "default"
    deleted: bool = False
    at: Place | None = None


class ResourceViews(Protocol):
    """What the answers are read from; agentplane.store.view_reader.ViewReader."""

    async def resources(
        self, tenant: str, *, kind: str, namespace: str | None, after: str, limit: int
    ) -> tuple[Resource, ...]:
        """Resources of a kind."""
        ...

    async def resource(self, tenant: str, kind: str, namespace: str, name: str) -> Resource | None:
        """One resource."""
        ...


class ResourcePast(Protocol):
    """Resources as they were; agentplane.queries.history.HistoryAnswers."""

    async def resources_at(self, tenant: str, kind: str, at: Place, name: str | None = None) -> tuple[Resource, ...]:
        """Those of a kind, in order of namespace and name, deleted ones included."""
        ...


class ResourceAnswers:
    """The query service's answers about resources."""

    def __init__(self, views: ResourceViews, past: ResourcePast) -> None:
        self._views = views
        self._past = past

    async def page(self, tenant: str, data: bytes) -> ResourcesPage:
        """A page of a kind; fewer than asked for, even none, where many had to be looked at. Raises Refused."""
        wish = question(data, ResourcesList)
        limit, wanted = page_limit(wish.limit), parse(wish.selector)
        found: list[Resource] = []
        after, more = wish.after, True
        for _ in range(_LOOKS):
            looked, more = await self._next(tenant, wish, after, limit + 1 if not wanted else wire.MAX_PAGE)
            for each in looked:
                if len(found) == limit:
                    more = True
                    break
                after = f"{each.namespace}/{each.name}"
                if matches(wanted, each.labels):
                    found.append(each)
            if not more or len(found) == limit:
                break
        page = bounded(found)
        if len(page) < len(found):
            after, more = f"{page[-1].namespace}/{page[-1].name}", True
        return ResourcesPage(resources=tuple(page), next=after if more else None)

    async def _next(
        self, tenant: str, wish: ResourcesList, after: str, limit: int
    ) -> tuple[tuple[Resource, ...], bool]:
        """The resources that come next, and whether there are more after them."""
        if wish.at is None:
            found = await self._views.resources(
                tenant, kind=wish.kind, namespace=wish.namespace, after=after, limit=limit
            )
            return found, len(found) == limit
        then = await self._past.resources_at(tenant, wish.kind, wish.at)
        namespace, _, name = after.partition("/")
        there = (each for each in then if each.exists and wish.namespace in {None, each.namespace})
        return tuple(each for each in there if (each.namespace, each.name) > (namespace, name)), False

    async def one(self, tenant: str, data: bytes) -> Resource:
        """One resource. Raises NotFound, code `resource.unknown`, Refused."""
        wish = question(data, ResourceGet)
        if wish.at is None:
            found = await self._views.resource(tenant, wish.kind, wish.namespace, wish.name)
        else:
            then = await self._past.resources_at(tenant, wish.kind, wish.at, wish.name)
            found = next((each for each in then if each.namespace == wish.namespace), None)
        if found is None or not (found.exists or wish.deleted):
            when = f" at {wish.at}" if wish.at else ""
            raise NotFound(f"no {wish.kind} {wish.namespace}/{wish.name}{when}", code="resource.unknown")
        return found


class ResourceClient:
    """Asking about one tenant's resources. Everything raises what the service raised, or Transient."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = 10.0) -> None:
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s

    async def page(
        self,
        kind: str,
        *,
        namespace: str | None = None,
        after: str = "",
        limit: int = 50,
        selector: str = "",
        at: Place | None = None,
    ) -> ResourcesPage:
        """A page of a kind."""
        wish = ResourcesList(kind=kind, namespace=namespace, after=after, limit=limit, selector=selector, at=at)
        return await self._ask(RESOURCES_LIST, wish, ResourcesPage)

    async def one(
        self, kind: str, name: str, *, namespace: str = "default", deleted: bool = False, at: Place | None = None
    ) -> Resource:
        """One resource. Raises NotFound, code `resource.unknown`."""
        wish = ResourceGet(kind=kind, name=name, namespace=namespace, deleted=deleted, at=at)
        return await self._ask(RESOURCE_GET, wish, Resource)

    async def _ask(self, name: str, wish: Wire, type_: type[T]) -> T:
        return await ask(self._bus, self._tenant, name, wish, type_, timeout_s=self._timeout_s)
