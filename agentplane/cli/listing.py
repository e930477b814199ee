"""Lists and single things of every kind for people: one code path, whoever keeps them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import Named, joined, split
from agentplane.cli.shelves import Asked, Found, Shelf, cell, flat, shelf_of
from agentplane.cli.shown import Shown
from agentplane.cli.watching import Seen, changes, print_lines
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.domains.model import Kind

Answer = TypeVar("Answer")


def find(ctx: click.Context, wanted: Named, asked: Asked) -> Shown:
    """The things of a kind, or those of these names. Raises NotFound (no such kind), Refused."""
    kind = _kind(wanted.word)
    missing: list[NotFound] = []
    if wanted.names:
        found, missing = _asked(ctx, kind, lambda shelf: _each(shelf, wanted.names, asked))
        more = None
    else:
        found, more = _asked(ctx, kind, lambda shelf: shelf.page(asked))
    return Shown(
        documents=[each.document for each in found],
        names=[joined(kind.name, each.name, each.namespace) for each in found],
        table=lambda: _table(kind, found, asked, names=wanted.names),
        details=lambda document: _describe(kind, document),
        more=more and f"--continue {more}",
        missing=missing,
    )


def watch(ctx: click.Context, wanted: Named, asked: Asked, output: str) -> int:
    """Print what is there, then whatever is new or has changed; data one document a line. Ends when stopped."""
    kind = _kind(wanted.word)

    def name_of(each: Found) -> str:
        return joined(kind.name, each.name, each.namespace)

    async def watching(shelf: Shelf) -> int:
        found: dict[str, Found] = {}

        async def look() -> list[Seen]:
            things, missing = await _now(shelf, wanted.names, asked)
            if missing and not found:
                raise missing[0]
            found.update((name_of(each), each) for each in things)
            return [Seen(name_of(each), each.document) for each in things]

        async for news in changes(look):
            if output == "table":
                _table(kind, [found[each.name] for each in news], asked, names=wanted.names)
            else:
                print_lines(news, output)
        return 0

    return _asked(ctx, kind, watching)


async def _now(shelf: Shelf, names: Sequence[str], asked: Asked) -> tuple[list[Found], list[NotFound]]:
    return await _each(shelf, names, asked) if names else ((await shelf.page(asked))[0], [])


def _kind(word: str) -> "Kind":
    from agentplane.domains.discovery import installed

    return installed().registry.kind(word)


def _asked(ctx: click.Context, kind: "Kind", question: Callable[[Shelf], Awaitable[Answer]]) -> Answer:
    context = contexts.current(ctx)

    async def asked() -> Answer:
        async with contexts.connected(context) as bus:
            return await question(shelf_of(kind, bus, context.tenant))

    return asyncio.run(asked())


async def _each(shelf: Shelf, names: Sequence[str], asked: Asked) -> tuple[list[Found], list[NotFound]]:
    """What is there of these names, and what is not."""
    found: list[Found] = []
    missing: list[NotFound] = []
    for name in names:
        namespace, bare = split(name, asked.namespace)
        try:
            found.append(await shelf.one(bare, namespace, asked.at))
        except NotFound as error:
            missing.append(error)
    return found, missing


def _table(kind: "Kind", found: list[Found], asked: Asked, *, names: Sequence[str]) -> None:
    others = any(each.namespace not in {None, "default"} for each in found)
    spaces = not kind.made_by and (asked.namespace is None or (bool(names) and others))
    headers = [*(["namespace"] if spaces else []), kind.name.lower() if kind.made_by else "name"]
    headers += [header for header, _ in kind.columns] + ([] if kind.made_by else ["generation"])
    rows = []
    for each in found:
        row = [*([each.namespace] if spaces else []), each.name]
        document = each.document if kind.made_by else _whole(kind, each.document)
        row += [cell(document, path) for _, path in kind.columns]
        rows.append([*row, *([] if kind.made_by else [each.document["metadata"]["generation"]])])
    if rows or not names:
        render.table(headers, rows, empty=_nothing(kind, asked))


def _whole(kind: "Kind", document: dict[str, Any]) -> dict[str, Any]:
    """A document with the defaults of its model, which hold without being written."""
    from agentplane.domains.specs import with_defaults

    return {**document, "spec": with_defaults(kind, document["spec"])}


def _nothing(kind: "Kind", asked: Asked) -> str:
    """Why a list is empty."""
    where = "" if asked.namespace is None or kind.made_by else f" in namespace {asked.namespace}"
    if asked.selector:
        return f"no {kind.plural}{where} with such labels"
    when = f" at {asked.at}" if asked.at else " yet"
    return f"no {kind.plural}{where}{when}" + ("; -A shows those of all namespaces" if where else "")


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
