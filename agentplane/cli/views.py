"""Read models that domains bring, for people: lists, one row, and rows summed up."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.errors import NotFound, Refused
from agentplane.history.spans import parse_span

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus
    from agentplane.domains.views import Grouping, Look, View
    from agentplane.history.places import Place

_PAGE: Final = 500

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Row = dict[str, Any]


def where_option(command: Decorated) -> Decorated:
    """Add `--where FIELD=VALUE`."""
    words = "Only rows whose field is this, such as recipient=qa; of read models."
    return click.option("--where", multiple=True, metavar="FIELD=VALUE", help=words)(command)


def stale_option(command: Decorated) -> Decorated:
    """Add `--stale-after SPAN`."""
    words = "After how long of silence an agent counts as stale."
    return click.option("--stale-after", default="15m", show_default=True, metavar="SPAN", help=words)(command)


def find_view(word: str) -> "View | None":
    """A view by its singular or plural; None: the word means something else."""
    from agentplane.domains.discovery import installed

    return installed().registry.view(word)


def show_view(  # noqa: PLR0917 - as the other lists of `get`
    ctx: click.Context, view: "View", name: str | None, limit: int, at: "Place | None", output: str
) -> None:
    """List a view's rows, or show one. Raises NotFound."""
    if name is not None:
        row = asyncio.run(_asked(ctx, lambda asker: asker.one(view, name, at)))
        rows, more = [row], False
    else:
        rows, more = asyncio.run(_asked(ctx, lambda asker: asker.rows(view, _where(ctx), limit, at)))

    def people() -> None:
        lines = [(row["name"], *(_cell(row, path) for _, path in view.columns)) for row in rows]
        render.table(
            [view.singular, *(header for header, _ in view.columns)],
            lines,
            empty=f"no {view.plural.rpartition('/')[2]} yet",
        )

    render.emit(rows[0] if name is not None else rows, output, people)
    if more:
        render.say(f"there are more: --limit {limit * 10}")


def describe_view(ctx: click.Context, view: "View", name: str, at: "Place | None", output: str) -> None:
    """Everything about one row. Raises NotFound."""
    row = asyncio.run(_asked(ctx, lambda asker: asker.one(view, name, at, whole=True)))
    render.emit(row, output, lambda: _describe(view, row))


class _Asker:
    """One connection's questions, and the moment at which somebody looks."""

    def __init__(self, bus: "NatsBus", tenant: str, stale_after: timedelta) -> None:
        from agentplane.queries.client import QueryClient
        from agentplane.queries.views import ViewClient

        self._client = ViewClient(bus, tenant)
        self._events = QueryClient(bus, tenant)
        self._stale_after = stale_after

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
        namespace, _, bare = name.partition("/") if name.startswith("imported.") else ("default", "/", name)
        wish = ViewGet(view=view.plural, name=bare, namespace=namespace, at=at)
        return shown(view, await self._client.one(wish), await self._look(at))

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


async def _asked(ctx: click.Context, question: Callable[[_Asker], Any]) -> Any:  # noqa: ANN401 - rows
    context = contexts.current(ctx)
    stale_after = span(ctx.params.get("stale_after") or "15m")
    async with contexts.connected(context) as bus:
        return await question(_Asker(bus, context.tenant, stale_after))


def span(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `1d`. Raises Refused, code `views.span`."""
    found = parse_span(text)
    if found is None:
        raise Refused(f"{text[:40]!r} is no span of time", code="views.span", hint="90s, 15m, 2h, 1d")
    return found


def _where(ctx: click.Context) -> dict[str, str]:
    pairs = [each.partition("=") for each in ctx.params.get("where") or ()]
    if any(not sign for _, sign, _ in pairs):
        raise click.UsageError("--where needs FIELD=VALUE")
    return {name: value for name, _, value in pairs}


def _cell(row: Row, path: str) -> str:
    value: Any = row
    for word in path.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    return "-" if value in {None, ""} else str(value)


def _describe(view: "View", row: Row) -> None:
    lines = [(name, _words(row[name])) for name in _telling(row) if not _is_table(row[name])]
    render.table([f"{view.singular} {row['name']}", ""], lines, empty="")
    for name, value in row.items():
        if _is_table(value):
            headers = list(dict.fromkeys(header for each in value for header in _telling(each)))
            click.echo()
            cells = [[_words(each.get(header)) for header in headers] for each in value]
            render.table([name if header == headers[0] else header for header in headers], cells, empty="")


def _telling(row: Row) -> list[str]:
    """The fields that tell a person something."""
    whose = ("tenant", "kind", "namespace")
    empty = [name for name, value in row.items() if value in (None, "", {}, []) or (name, value) == ("unreadable", 0)]
    return [name for name in row if name not in (*whose, *empty)]


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _words(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_words(each)}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "-"
    return "-" if value is None else str(value)
