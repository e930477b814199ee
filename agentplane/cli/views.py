"""Read models that domains bring, for people: lists, one row, and rows summed up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import joined
from agentplane.cli.shown import Shown, show
from agentplane.cli.view_rows import Asker, Row
from agentplane.cli.watching import Seen, changes, print_lines
from agentplane.errors import NotFound, Refused
from agentplane.history.spans import parse_span

if TYPE_CHECKING:
    from agentplane.domains.views import View
    from agentplane.history.places import Place


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


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


def find_rows(
    ctx: click.Context,
    view: "View",
    names: Sequence[str],
    limit: int,
    at: "Place | None",
    *,
    whole: bool = False,
) -> Shown:
    """A view's rows, or those of these names; `whole`: of a row that sums others up, these as well. Raises Refused."""
    if names:
        rows, missing = asyncio.run(_asked(ctx, lambda asker: asker.each(view, names, at, whole=whole)))
        more = False
    else:
        rows, more = asyncio.run(_asked(ctx, lambda asker: asker.rows(view, _where(ctx, view), limit, at)))
        missing = []
    return Shown(
        documents=rows,
        names=[_ref(view, row) for row in rows],
        table=lambda: _table(view, rows) if rows or not names else None,
        details=lambda row: _describe(view, row),
        more=f"--limit {limit * 10}" if more else None,
        missing=missing,
    )


def watch_rows(ctx: click.Context, view: "View", names: Sequence[str], limit: int, output: str) -> int:
    """Print the rows that are there, then those that are new or have changed; data one row a line."""

    async def watching(asker: Asker) -> int:
        async def look() -> list[Seen]:
            if names:
                rows, missing = await asker.each(view, names, None)
                if missing and not rows:
                    raise missing[0]
            else:
                rows, _ = await asker.rows(view, _where(ctx, view), limit, None)
            return [Seen(_ref(view, row), row) for row in rows]

        async for news in changes(look):
            if output == "table":
                _table(view, [each.document for each in news])
            else:
                print_lines(news, output)
        return 0

    return int(asyncio.run(_asked(ctx, watching)))


def show_view(  # noqa: PLR0917 - as the other lists of `get`
    ctx: click.Context, view: "View", name: str | None, limit: int, at: "Place | None", output: str
) -> None:
    """List a view's rows, or show one. Raises NotFound."""
    part = find_rows(ctx, view, (name,) if name else (), limit, at)
    show((part,), output, single=name is not None)


def _table(view: "View", rows: Sequence[Row]) -> None:
    spaces = any(row.get("namespace", "default") != "default" for row in rows)
    headers = [*(["namespace"] if spaces else []), view.singular, *(header for header, _ in view.columns)]
    lines = [
        [*([row["namespace"]] if spaces else []), row["name"], *(_cell(row, path) for _, path in view.columns)]
        for row in rows
    ]
    render.table(headers, lines, empty=f"no {view.plural.rpartition('/')[2]} yet")


def _ref(view: "View", row: Row) -> str:
    return joined(view.singular, str(row["name"]), row.get("namespace"))


async def _asked(ctx: click.Context, question: Callable[[Asker], Any]) -> Any:  # noqa: ANN401 - rows
    context = contexts.current(ctx)
    stale_after = span(ctx.params.get("stale_after") or "15m")
    async with contexts.connected(context) as bus:
        return await _known_there(question(Asker(bus, context.tenant, stale_after, _namespace(ctx))))


async def _known_there(answer: Awaitable[Any]) -> Any:  # noqa: ANN401 - rows
    """Raises NotFound, with what to do where the domain is installed here and not there."""
    try:
        return await answer
    except NotFound as error:
        if error.code != "view.unknown":
            raise
        hint = "install its domain where control and projector run, and restart them; here it is"
        raise NotFound(error.message, code=error.code, where=error.where, hint=hint) from None


def span(text: str) -> timedelta:
    """`90s`, `15m`, `2h`, `1d`. Raises Refused, code `views.span`."""
    found = parse_span(text)
    if found is None:
        raise Refused(f"{text[:40]!r} is no span of time", code="views.span", hint="90s, 15m, 2h, 1d")
    return found


def _where(ctx: click.Context, view: "View") -> dict[str, str]:
    pairs = [each.partition("=") for each in ctx.params.get("where") or ()]
    if any(not sign for _, sign, _ in pairs):
        raise click.UsageError("--where needs FIELD=VALUE")
    where = {name: value for name, _, value in pairs}
    if (namespace := _namespace(ctx)) is not None and view.grouping is None:
        where["namespace"] = namespace
    if where and view.grouping is not None:
        raise click.UsageError(f"{view.plural} sum up rows: --where filters the rows themselves")
    return where


def _namespace(ctx: click.Context) -> str | None:
    """The namespace that was asked for; None: that of nobody in particular, as read models span them."""
    asked = ctx.get_parameter_source("namespace") not in {None, ParameterSource.DEFAULT}
    return str(ctx.params["namespace"]) if asked and not ctx.params.get("all_namespaces") else None


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
