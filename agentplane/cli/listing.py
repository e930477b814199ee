"""Lists and single things of every kind for people: one code path, whoever keeps them."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.shelves import Asked, Found, Shelf, cell, flat, shelf_of

if TYPE_CHECKING:
    from agentplane.domains.model import Kind
    from agentplane.history.places import Place

Answer = TypeVar("Answer")
_WATCH_EVERY_S = 1.0


def show(ctx: click.Context, word: str, name: str | None, asked: Asked, output: str) -> None:
    """List a kind, or show one of it. Raises NotFound, Refused."""
    kind = _kind(word)
    found, more = _asked(ctx, kind, lambda shelf: _found(shelf, name, asked))
    documents = [each.document for each in found]
    render.emit(documents[0] if name else documents, output, lambda: _table(kind, found, asked))
    if more is not None:
        render.say(f"more: --continue {more}")


def watch(ctx: click.Context, word: str, name: str | None, asked: Asked, output: str) -> int:
    """Print what is there, then whatever is new or has changed; data one document a line. Ends when stopped."""
    kind = _kind(word)

    async def watching(shelf: Shelf) -> int:
        shown: dict[tuple[str | None, str], dict[str, Any]] = {}
        first = True
        while True:
            found, _ = await _found(shelf, name, asked)
            news = [each for each in found if shown.get((each.namespace, each.name)) != each.document]
            shown = {(each.namespace, each.name): each.document for each in found}
            if output != "table":
                for each in news:
                    click.echo(json.dumps(each.document))
            elif news or first:
                _table(kind, news, asked)
            first = False
            await asyncio.sleep(_WATCH_EVERY_S)

    return _asked(ctx, kind, watching)


def describe(  # noqa: PLR0917 - as the command has them
    ctx: click.Context, word: str, name: str, namespace: str, at: "Place | None", output: str
) -> None:
    """Everything about one thing. Raises NotFound, Refused."""
    kind = _kind(word)
    asked = Asked(namespace, "", "", 1, at)
    found, _ = _asked(ctx, kind, lambda shelf: _found(shelf, name, asked))
    document = found[0].document
    render.emit(document, output, lambda: _describe(kind, document))


def _kind(word: str) -> "Kind":
    from agentplane.domains.discovery import installed

    return installed().registry.kind(word)


def _asked(ctx: click.Context, kind: "Kind", question: Callable[[Shelf], Awaitable[Answer]]) -> Answer:
    context = contexts.current(ctx)

    async def asked() -> Answer:
        async with contexts.connected(context) as bus:
            return await question(shelf_of(kind, bus, context.tenant))

    return asyncio.run(asked())


async def _found(shelf: Shelf, name: str | None, asked: Asked) -> tuple[list[Found], str | None]:
    if name is None:
        return await shelf.page(asked)
    namespace, _, bare = name.rpartition("/")
    return [await shelf.one(bare, namespace or asked.namespace or "default", asked.at)], None


def _table(kind: "Kind", found: list[Found], asked: Asked) -> None:
    spaces = asked.namespace is None and not kind.made_by
    headers = [*(["namespace"] if spaces else []), kind.name.lower() if kind.made_by else "name"]
    headers += [header for header, _ in kind.columns] + ([] if kind.made_by else ["generation"])
    rows = []
    for each in found:
        row = [*([each.namespace] if spaces else []), each.name]
        row += [cell(each.document, path) for _, path in kind.columns]
        rows.append([*row, *([] if kind.made_by else [each.document["metadata"]["generation"]])])
    render.table(headers, rows, empty=f"no {kind.plural} yet")


def _describe(kind: "Kind", document: dict[str, Any]) -> None:
    from agentplane.cli.resources import describe_document
    from agentplane.cli.run_shown import describe_run

    if kind.name == "Run":
        import msgspec

        from agentplane.projections.run_view import RunView

        describe_run(msgspec.convert(document, RunView))
    elif kind.made_by:
        render.table([f"{kind.name} {document['name']}", ""], list(flat("", document)), empty="")
    else:
        describe_document(document)
