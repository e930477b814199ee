"""`agentplane diff`: resources against documents that somebody wants to apply, or against what they were."""

import asyncio
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import Named, joined, named, split, things_argument
from agentplane.cli.places import PLACE, place
from agentplane.cli.reading import documents_options, read_wishes
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.cli.shown import Shown
    from agentplane.domains.specs import Wish
    from agentplane.history.places import Place

Difference = dict[str, str]


@click.command()
@things_argument(required=False)
@documents_options
@click.option("-n", "--namespace", default="default", show_default=True, help="Of the things that are named.")
@click.option("--at", metavar="PLACE", help=f"Compare with how they were there: {PLACE}.")
@click.option("--to", metavar="PLACE", help="With --at: up to there, and not up to now.")
@render.list_option
@click.pass_context
def diff(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    things: tuple[str, ...],
    files: tuple[Path, ...],
    directory: Path | None,
    recursive: bool,
    namespace: str,
    at: str | None,
    to: str | None,
    output: str,
) -> int:
    """Show what `apply` would change in the resources themselves; with --at, what has changed in things since.

    \b
    agentplane diff -f org.yaml                     the resources against the documents
    agentplane diff -d DIR Organization/acme        of these documents, that one's
    agentplane diff Organization/acme --at 1h       how it was an hour ago against how it is now

    Exit status 0: nothing. 1: something.
    """  # noqa: D301 - \b is click's
    wanted, then, until = named(things), place(at, "--at"), place(to, "--to")
    documents = bool(files) or directory is not None
    if documents == (then is not None) or (until is not None and then is None):
        raise click.UsageError("name documents with -f or -d, or things and the --at where they were otherwise")
    if documents:
        changed = _against_documents(ctx, wanted, (files, directory, recursive), namespace)
    else:
        changed = list(_against_past(ctx, wanted, namespace, then, until))
    render.emit(changed, output, lambda: click.echo("".join(f"{each['diff']}\n" for each in changed), nl=False))
    return 1 if changed else 0


def _against_documents(
    ctx: click.Context,
    wanted: tuple[Named, ...],
    paths: tuple[Sequence[Path], Path | None, bool],
    namespace: str,
) -> list[Difference]:
    """What applying would change; of the things that are named only, where any are."""
    context = contexts.current(ctx)
    kind = wanted[0].word if len(wanted) == 1 and not wanted[0].names else None
    wishes = read_wishes(context.tenant, kind, *paths, None)
    if any(each.names for each in wanted):
        wishes = list(_chosen(wishes, wanted, namespace))
    return asyncio.run(_compared(context, wishes))


def _chosen(wishes: "Sequence[Wish]", wanted: tuple[Named, ...], namespace: str) -> "Iterator[Wish]":
    from agentplane.domains.discovery import installed

    written = {(each.stream.kind, each.stream.namespace, each.stream.name): each for each in wishes}
    for each in wanted:
        kind = installed().registry.documented(each.word).name
        for name in each.names:
            within, bare = split(name, namespace)
            if (kind, within, bare) not in written:
                raise NotFound(f"no document is about {joined(kind, bare, within)}", code="document.missing")
            yield written[kind, within, bare]


async def _compared(context: contexts.Context, wishes: "Sequence[Wish]") -> list[Difference]:
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        found = [(wish.stream, await applying.difference(wish)) for wish in wishes]
    return [
        {"kind": each.kind, "namespace": each.namespace, "name": each.name, "diff": "\n".join(lines)}
        for each, lines in found
        if lines
    ]


def _against_past(
    ctx: click.Context, wanted: tuple[Named, ...], namespace: str, then: "Place | None", until: "Place | None"
) -> Iterator[Difference]:
    """What has changed in things between two places of the log. Raises NotFound: one was at neither."""
    if not wanted or not all(each.names for each in wanted):
        raise click.UsageError("--at compares things: name them as KIND NAME or KIND/NAME")
    for each in wanted:
        for name in each.names:
            before = _found(ctx, Named(each.word, (name,)), namespace, then)
            after = _found(ctx, Named(each.word, (name,)), namespace, until)
            if not before.documents and not after.documents:
                raise after.missing[0]
            (ref,) = (before if before.documents else after).names
            old, new = _lines(before), _lines(after)
            lines = difflib.unified_diff(
                old, new, f"{ref} at {then}", f"{ref} at {until}" if until else f"{ref} now", lineterm=""
            )
            if text := "\n".join(lines):
                kind, _, bare = ref.partition("/")
                within, bare = split(bare, None)
                yield {"kind": kind, "namespace": within, "name": bare, "diff": text}


def _found(ctx: click.Context, wanted: Named, namespace: str, at: "Place | None") -> "Shown":
    from agentplane.cli import listing
    from agentplane.cli.shelves import Asked
    from agentplane.cli.views import find_rows, find_view

    if (view := find_view(wanted.word)) is not None:
        return find_rows(ctx, view, wanted.names, 1, at)
    return listing.find(ctx, wanted, Asked(namespace, "", "", 1, at))


def _lines(part: "Shown") -> list[str]:
    document: dict[str, Any] = part.documents[0] if part.documents else {}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).splitlines() if document else []
