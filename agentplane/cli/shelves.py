"""Where `get` and `describe` find the things of a kind: one way for every kind, whoever keeps it.

A shelf answers with documents. What is specific to a kind is declared beside it (`agentplane.domains.model.Kind`): its
columns, and what label selectors see of it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from agentplane.errors import NotFound, Refused

if TYPE_CHECKING:
    from agentplane.domains.model import Kind
    from agentplane.history.places import Place
    from agentplane.ports import Bus
    from agentplane.queries.selectors import Requirement

_PAGE = 500
_LETTERS = "DeadLetter"


class Asked(NamedTuple):
    """What somebody wants to see. `namespace` None: of all; `after`: where a page ended."""

    namespace: str | None
    selector: str
    after: str
    limit: int
    at: "Place | None"


class Found(NamedTuple):
    """One thing. `key`: where the next page begins if this is the last of one."""

    key: str
    name: str
    namespace: str | None
    document: dict[str, Any]


class Shelf(Protocol):
    """The things of one kind."""

    async def page(self, asked: Asked) -> tuple[list[Found], str | None]:
        """The next things in their order, and `after` of the page that follows; None: there is none."""
        ...

    async def one(self, name: str, namespace: str, at: "Place | None") -> Found:
        """One thing. Raises NotFound, Refused."""
        ...


def shelf_of(kind: "Kind", bus: "Bus", tenant: str) -> Shelf:
    """Where a kind is found."""
    special: dict[str, Callable[..., Shelf]] = {"Run": Runs, "Executor": Executors}
    return special.get(kind.name, Resources)(kind, bus, tenant)


def cell(document: dict[str, Any], path: str) -> str:
    """What stands at a dotted path, for a table."""
    value: Any = document
    for word in path.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    elif isinstance(value, bool):
        value = str(value).lower()
    return "-" if value is None or value == "" else str(value)


def flat(path: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """A document as lines for people: dotted path and value, without what says nothing."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(f"{path}.{name}" if path else name, inner)
    elif isinstance(value, list | tuple) and any(isinstance(each, dict) for each in value):
        for number, inner in enumerate(value):
            yield from flat(f"{path}[{number}]", inner)
    elif value not in (None, "", [], ()):
        yield path, cell({"value": value}, "value")


class Resources:
    """Kinds that are made of documents, in order of namespace and name."""

    def __init__(self, kind: "Kind", bus: "Bus", tenant: str) -> None:
        from agentplane.queries.resources import ResourceClient

        self._kind = kind.name
        self._client = ResourceClient(bus, tenant)

    async def page(self, asked: Asked) -> tuple[list[Found], str | None]:
        """The next resources."""
        found: list[Found] = []
        after: str | None = asked.after
        while after is not None and len(found) < asked.limit:
            page = await self._client.page(
                self._kind,
                namespace=asked.namespace,
                after=after,
                limit=min(_PAGE, asked.limit - len(found)),
                selector=asked.selector,
                at=asked.at,
            )
            found += [self._found(each) for each in page.resources]
            after = page.next
        return found, after

    async def one(self, name: str, namespace: str, at: "Place | None") -> Found:
        """One resource."""
        return self._found(await self._client.one(self._kind, name, namespace=namespace, at=at))

    def _found(self, resource: Any) -> Found:  # noqa: ANN401 - a Resource
        from agentplane.domains.resource import document

        key = f"{resource.namespace}/{resource.name}"
        return Found(key, resource.name, resource.namespace, document(resource))


class Runs:
    """Runs, newest first; a name may be any unambiguous beginning of one."""

    def __init__(self, kind: "Kind", bus: "Bus", tenant: str) -> None:
        from agentplane.queries.client import QueryClient

        self._kind = kind
        self._client = QueryClient(bus, tenant)

    async def page(self, asked: Asked) -> tuple[list[Found], str | None]:
        """The next runs."""
        from agentplane.queries.selectors import parse

        wanted = parse(asked.selector)
        before, more = _before(asked.after), True
        found: list[Found] = []
        while more and len(found) < asked.limit:
            limit = _PAGE if wanted else min(_PAGE, asked.limit - len(found))
            page = await self._client.runs(limit=limit, before=before, at=asked.at)
            selected = [self._found(run) for run in page.runs]
            selected = [each for each in selected if _selected(self._kind, each.document, wanted)]
            found += selected[: asked.limit - len(found)]
            before, more = page.next, page.next is not None
            if len(found) == asked.limit and found[-1] is not selected[-1]:
                return found, found[-1].key
        return found, str(before) if more else None

    async def one(self, name: str, namespace: str, at: "Place | None") -> Found:  # noqa: ARG002 - runs have none
        """One run."""
        return self._found(await self._client.run(name, at=at))

    def _found(self, run: Any) -> Found:  # noqa: ANN401 - RunView or RunSummary
        import msgspec

        return Found(str(run.first_sequence), run.name, None, msgspec.to_builtins(run))


class Executors:
    """Executors, in order of name."""

    def __init__(self, kind: "Kind", bus: "Bus", tenant: str) -> None:
        from agentplane.queries.client import QueryClient

        self._kind = kind
        self._client = QueryClient(bus, tenant)

    async def page(self, asked: Asked) -> tuple[list[Found], str | None]:
        """The next executors."""
        from agentplane.queries.selectors import parse

        wanted = parse(asked.selector)
        every = [each for each in await self._all(asked.at) if each.name > asked.after]
        found = [each for each in every if _selected(self._kind, each.document, wanted)]
        page = found[: asked.limit]
        return page, page[-1].key if len(page) < len(found) else None

    async def one(self, name: str, namespace: str, at: "Place | None") -> Found:  # noqa: ARG002 - executors have none
        """One executor."""
        for each in await self._all(at):
            if each.name == name:
                return each
        raise NotFound(
            f"no executor {name[:80]!r}", code="executor.unknown", hint="`agentplane get executors` lists them"
        )

    async def _all(self, at: "Place | None") -> list[Found]:
        return [self._found(line) for line in await self._client.executors(at=at)]

    def _found(self, line: Any) -> Found:  # noqa: ANN401 - an ExecutorLine
        import msgspec

        view = line.executor
        document = msgspec.to_builtins(view)
        document["state"] = "reachable" if view.reachable else "unreachable"
        document["runs"] = len(view.leases) + line.other_leases
        return Found(view.name, view.name, None, document)


def _selected(kind: "Kind", document: dict[str, Any], wanted: "tuple[Requirement, ...]") -> bool:
    from agentplane.queries.selectors import matches

    labels = {name: value for name, path in kind.labels if (value := cell(document, path)) != "-"}
    return matches(wanted, labels)


def _before(after: str) -> int | None:
    if not after:
        return None
    if not (after.isascii() and after.isdigit()):
        raise Refused(f"{after[:40]!r} is not where a page of runs ended", code="query.continue")
    return int(after)
