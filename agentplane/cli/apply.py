"""`agentplane apply|diff|delete`: documents of any kind in, and what became of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.errors import AgentplaneError, Refused

if TYPE_CHECKING:
    from agentplane.cli.applying import Outcome
    from agentplane.domains.specs import Wish

files_option = click.option(
    "-f", "--file", "files", multiple=True, type=click.Path(path_type=Path), help="A JSON or YAML document."
)
directory_option = click.option(
    "-d", "--directory", type=click.Path(path_type=Path, file_okay=False), help="Every document in this directory."
)


class Failed(click.ClickException):
    """An error under --detailed-exitcode, where 2 means something else."""

    exit_code = 1


@click.command()
@click.argument("kind", required=False)
@files_option
@directory_option
@click.option("--name", help="Of the resource, where no document says it.")
@click.option("--dry-run", is_flag=True, help="Show the decisions and events that would follow; store nothing.")
@click.option("--wait", is_flag=True, help="Wait for the controllers; exit status 1 when one fails.")
@click.option("--timeout", "timeout_s", default=60, show_default=True, help="Seconds that --wait waits.")
@click.option("--detailed-exitcode", is_flag=True, help="0: nothing changes, 2: something does, 1: an error.")
@render.output_option
@click.pass_context
def apply(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    kind: str | None,
    files: tuple[Path, ...],
    directory: Path | None,
    name: str | None,
    dry_run: bool,
    wait: bool,
    timeout_s: int,
    detailed_exitcode: bool,
    output: str,
) -> int:
    """Make resources be as documents say. Without a file, a terminal is asked for what KIND needs.

    All documents are checked before the first one is handed in. An unchanged one stays as it is.
    """
    try:
        context = contexts.load_context(contexts.state_dir(ctx))
        wishes = _wishes(context.tenant, kind, files, directory, name)
        outcomes = asyncio.run(_apply(context, wishes, dry_run=dry_run, wait_s=timeout_s if wait else None))
    except AgentplaneError as error:
        if not detailed_exitcode:
            raise
        raise Failed(f"{error} [{error.code}]") from error
    render.emit([each.to_json() for each in outcomes], output, lambda: _show(outcomes))
    if any(each.failed for each in outcomes):
        return 1
    return 2 if detailed_exitcode and any(each.result != "unchanged" for each in outcomes) else 0


@click.command()
@click.argument("kind", required=False)
@files_option
@directory_option
@click.pass_context
def diff(ctx: click.Context, kind: str | None, files: tuple[Path, ...], directory: Path | None) -> int:
    """Show what `apply` would change in the resources themselves. Exit status 0: nothing, 1: something."""
    context = contexts.load_context(contexts.state_dir(ctx))
    wishes = _wishes(context.tenant, kind, files, directory, None)
    lines = asyncio.run(_diff(context, wishes))
    for line in lines:
        click.echo(line)
    return 1 if lines else 0


@click.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@files_option
@directory_option
@click.option("--reason", default="", help="Kept in the log.")
@click.option("--wait", is_flag=True, help="Wait until it is gone.")
@click.option("--timeout", "timeout_s", default=60, show_default=True, help="Seconds that --wait waits.")
@click.pass_context
def delete(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    kind: str | None,
    name: str | None,
    files: tuple[Path, ...],
    directory: Path | None,
    reason: str,
    wait: bool,
    timeout_s: int,
) -> int:
    """Delete KIND NAME, or the resources that documents name. Finalizers hold it until their controllers let go."""
    from agentplane.domains.discovery import installed
    from agentplane.events.model import StreamId

    context = contexts.load_context(contexts.state_dir(ctx))
    if name is not None and kind is not None:
        namespace, _, bare = name.rpartition("/")
        known = installed().registry.documented(kind)
        streams = [StreamId(context.tenant, known.name, namespace or "default", bare)]
    else:
        streams = [wish.stream for wish in _wishes(context.tenant, kind, files, directory, None)]
    asyncio.run(_delete(context, streams, reason=reason, wait_s=timeout_s if wait else None))
    return 0


def _wishes(
    tenant: str, kind: str | None, files: Sequence[Path], directory: Path | None, name: str | None
) -> "list[Wish]":
    from agentplane.domains.discovery import installed
    from agentplane.domains.specs import read_wish

    registry = installed().registry
    documents = [_completed(kind, value, name, origin) for value, origin in _documents(files, directory)]
    if not files and directory is None:
        documents = [_completed(kind, {}, name, "the answers")]
    return [read_wish(registry, value, tenant=tenant, kind=kind, origin=origin) for value, origin in documents]


def _documents(files: Sequence[Path], directory: Path | None) -> list[tuple[dict[str, Any], str]]:
    from agentplane.documents.edge import read_document

    paths = list(files)
    if directory is not None:
        if not directory.is_dir():
            raise Refused("no such directory", code="document.missing", where=str(directory))
        found = sorted(path for path in directory.iterdir() if path.suffix in {".json", ".yaml", ".yml"})
        if not found:
            raise Refused("no .json, .yaml or .yml file in it", code="document.missing", where=str(directory))
        paths += found
    return [(read_document(path).value, str(path)) for path in paths]


def _completed(kind: str | None, value: dict[str, Any], name: str | None, origin: str) -> tuple[dict[str, Any], str]:
    """The document, with what a person at a terminal adds to it."""
    import sys

    from agentplane.cli.prompting import complete
    from agentplane.domains.discovery import installed

    word = value.get("kind", kind)
    if not sys.stdin.isatty():
        if not value:
            raise Refused(
                "there is no document", code="document.missing", hint="name one with -f, or run it in a terminal"
            )
        return ({**value, "metadata": {"name": name}} if name and "metadata" not in value else value), origin
    if not isinstance(word, str):
        raise Refused("say which KIND", code="resource.kind", hint="agentplane kinds")
    known = installed().registry.documented(word)
    return complete(known, value, name, lambda words: str(click.prompt(words, err=True)), render.say), origin


async def _apply(
    context: contexts.Context, wishes: "Sequence[Wish]", *, dry_run: bool, wait_s: float | None
) -> "list[Outcome]":
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        if dry_run:
            return [await applying.rehearse(wish) for wish in wishes]
        return [await applying.carry_out(wish, wait_s=wait_s) for wish in wishes]


async def _diff(context: contexts.Context, wishes: "Sequence[Wish]") -> list[str]:
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        return [line for wish in wishes for line in await applying.difference(wish)]


async def _delete(context: contexts.Context, streams: Sequence[Any], *, reason: str, wait_s: float | None) -> None:
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        for stream in streams:
            gone = await applying.remove(stream, reason, wait_s=wait_s)
            render.say(f"{stream.kind} {stream.namespace}/{stream.name} {'deleted' if gone else 'is being deleted'}")


def _show(outcomes: "Sequence[Outcome]") -> None:
    for outcome in outcomes:
        click.echo(
            f"{outcome.kind} {outcome.namespace}/{outcome.name} {outcome.result}, generation {outcome.generation}"
        )
        for step in outcome.steps:
            render.say(f"  {step.controller} upon {step.upon}: {step.message or 'decides'}")
            for type_ in step.events:
                render.say(f"    {type_}")
        for failure in outcome.failures:
            render.say(f"  {failure}", style="red")
