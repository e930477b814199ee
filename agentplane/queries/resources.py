"""Questions about resources of any kind: what is asked, how it is answered, how it is asked. One tenant at a time."""

from typing import Final, Protocol, TypeVar

from agentplane.domains.resource import Resource
from agentplane.errors import NotFound
from agentplane.ports import Bus
from agentplane.queries.asking import ask
from agentplane.queries.paging import bounded, page_limit, question
from agentplane.runs.model import Wire

RESOURCES_LIST: Final = "resources-list"
RESOURCE_GET: Final = "resource-get"

T = TypeVar("T")


class ResourcesList(Wire, frozen=True, kw_only=True):
    """Those that exist, in order of namespace and name. `after`: `<namespace>/<name>` where a page ended."""

    kind: str
    namespace: str | None = None
    after: str = ""
    limit: int = 50


class ResourcesPage(Wire, frozen=True, kw_only=True):
    """`next` is the `after` of the next page; None: there are no more."""

    resources: tuple[Resource, ...]
    next: str | None


class ResourceGet(Wire, frozen=True, kw_only=True):
    """Answered by a Resource. `deleted`: also one that is no more."""

    kind: str
    name: str
    namespace: str = "default"
    deleted: bool = False


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


class ResourceAnswers:
    """The query service's answers about resources."""

    def __init__(self, views: ResourceViews) -> None:
        self._views = views

    async def page(self, tenant: str, data: bytes) -> ResourcesPage:
        """A page of a kind. Raises Refused."""
        wish = question(data, ResourcesList)
        limit = page_limit(wish.limit)
        found = await self._views.resources(
            tenant, kind=wish.kind, namespace=wish.namespace, after=wish.after, limit=limit + 1
        )
        page = bounded(found[:limit])
        more = len(page) < len(found)
        return ResourcesPage(resources=tuple(page), next=f"{page[-1].namespace}/{page[-1].name}" if more else None)

    async def one(self, tenant: str, data: bytes) -> Resource:
        """One resource. Raises NotFound, code `resource.unknown`, Refused."""
        wish = question(data, ResourceGet)
        found = await self._views.resource(tenant, wish.kind, wish.namespace, wish.name)
        if found is None or not (found.exists or wish.deleted):
            raise NotFound(f"no {wish.kind} {wish.namespace}/{wish.name}", code="resource.unknown")
        return found


class ResourceClient:
    """Asking about one tenant's resources. Everything raises what the service raised, or Transient."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = 10.0) -> None:
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s

    async def page(self, kind: str, *, namespace: str | None = None, after: str = "", limit: int = 50) -> ResourcesPage:
        """A page of a kind."""
        wish = ResourcesList(kind=kind, namespace=namespace, after=after, limit=limit)
        return await self._ask(RESOURCES_LIST, wish, ResourcesPage)

    async def one(self, kind: str, name: str, *, namespace: str = "default", deleted: bool = False) -> Resource:
        """One resource. Raises NotFound, code `resource.unknown`."""
        wish = ResourceGet(kind=kind, name=name, namespace=namespace, deleted=deleted)
        return await self._ask(RESOURCE_GET, wish, Resource)

    async def _ask(self, name: str, wish: Wire, type_: type[T]) -> T:
        return await ask(self._bus, self._tenant, name, wish, type_, timeout_s=self._timeout_s)
