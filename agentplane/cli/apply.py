"""`agentplane apply|diff|delete`: documents of any kind in, and what became of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.reading import documents_options, read_streams, read_wishes
from agentplane.errors import AgentplaneError

if TYPE_CHECKING:
    from agentplane.cli.applying import Outcome
    from agentplane.domains.specs import Wish


class Failed(AgentplaneError):
    """An error under --detailed-exitcode, where 2 means something else."""

    exit_status = 1

    def __init__(self, error: AgentplaneError) -> None:
        super().__init__(error.message, code=error.code, where=error.where, hint=error.hint)


@click.command()
@click.argument("kind", required=False)
@documents_options
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
    recursive: bool,
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
        context = contexts.current(ctx)
        wishes = read_wishes(context.tenant, kind, files, directory, recursive, name)
        outcomes = asyncio.run(_apply(context, wishes, dry_run=dry_run, wait_s=timeout_s if wait else None))
    except AgentplaneError as error:
        if not detailed_exitcode:
            raise
        raise Failed(error) from error
    render.emit([each.to_json() for each in outcomes], output, lambda: _show(outcomes))
    if any(each.failed for each in outcomes):
        return 1
    return 2 if detailed_exitcode and any(each.result != "unchanged" for each in outcomes) else 0


@click.command()
@click.argument("kind", required=False)
@documents_options
@render.output_option
@click.pass_context
def diff(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context, kind: str | None, files: tuple[Path, ...], directory: Path | None, recursive: bool, output: str
) -> int:
    """Show what `apply` would change in the resources themselves.

    Exit status 0: nothing. 1: something.
    """
    context = contexts.current(ctx)
    if not files and directory is None:
        raise click.UsageError("name documents with -f or -d")
    wishes = read_wishes(context.tenant, kind, files, directory, recursive, None)
    changed = asyncio.run(_diff(context, wishes))
    render.emit(changed, output, lambda: click.echo("".join(f"{each['diff']}\n" for each in changed), nl=False))
    return 1 if changed else 0


@click.command()
@click.argument("kind", required=False)
@click.argument("name", required=False)
@documents_options
@click.option("-n", "--namespace", default="default", show_default=True, help="With KIND NAME: whose thing it is.")
@click.option("--reason", default="", help="Why; kept in the log.")
@click.option("--wait", is_flag=True, help="Wait until it is gone.")
@click.option("--timeout", "timeout_s", default=60, show_default=True, help="Seconds that --wait waits.")
@click.pass_context
def delete(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    kind: str | None,
    name: str | None,
    files: tuple[Path, ...],
    directory: Path | None,
    recursive: bool,
    namespace: str,
    reason: str,
    wait: bool,
    timeout_s: int,
) -> int:
    """Delete KIND NAME, or the resources that documents name. Finalizers hold it until their controllers let go."""
    from agentplane.domains.discovery import installed
    from agentplane.events.model import StreamId

    context = contexts.current(ctx)
    if name is not None and kind is not None:
        known = installed().registry.documented(kind)
        within, _, bare = name.rpartition("/")
        streams = [StreamId(context.tenant, known.name, within or namespace, bare)]
    elif not files and directory is None:
        raise click.UsageError("name the resource as KIND NAME, or documents with -f or -d")
    else:
        streams = read_streams(context.tenant, kind, files, directory, recursive)
    asyncio.run(_delete(context, streams, reason=reason, wait_s=timeout_s if wait else None))
    return 0


async def _apply(
    context: contexts.Context, wishes: "Sequence[Wish]", *, dry_run: bool, wait_s: float | None
) -> "list[Outcome]":
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        if dry_run:
            return [await applying.rehearse(wish) for wish in wishes]
        return await applying.carry_out_all(wishes, wait_s=wait_s)


async def _diff(context: contexts.Context, wishes: "Sequence[Wish]") -> list[dict[str, str]]:
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
        generation = f", generation {outcome.generation}" if outcome.result != "refused" else ""
        click.echo(f"{outcome.kind} {outcome.namespace}/{outcome.name} {outcome.result}{generation}")
        for step in outcome.steps:  # of a rehearsal: what was asked for
            click.echo(f"  {step.controller} upon {step.upon}: {step.message or 'decides'}")
            for type_ in step.events:
                click.echo(f"    {type_}")
        for failure in outcome.failures:
            render.say(f"  {failure}", style="red")
