"""`agentplane delete`: resources by name, or by the documents that name them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import Named, joined, named, split, things_argument
from agentplane.cli.reading import documents_options, read_streams
from agentplane.cli.waiting import leaving
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.cli.resource_outcomes import Removal
    from agentplane.events.model import StreamId


@click.command()
@things_argument(required=False)
@documents_options
@click.option("-n", "--namespace", default="default", show_default=True, help="Whose things they are.")
@click.option("--reason", default="", help="Why; kept in the log.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no mistake.")
@click.option("--wait", is_flag=True, help="Wait until they are gone.")
@click.option(
    "--timeout", "timeout_s", default=60, show_default=True, type=click.IntRange(1), help="Seconds that --wait waits."
)
@render.names_option
@click.pass_context
def delete(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    things: tuple[str, ...],
    files: tuple[Path, ...],
    directory: Path | None,
    recursive: bool,
    namespace: str,
    reason: str,
    ignore_not_found: bool,
    wait: bool,
    timeout_s: int,
    output: str,
) -> int:
    """Delete resources by name, or those that documents name. Finalizers hold them until their controllers let go.

    Those that are there are deleted, whether or not the others are. A NAME may say its namespace: NAMESPACE/NAME.
    """
    context = contexts.current(ctx)
    wanted = named(things)
    if files or directory is not None:
        streams = read_streams(context.tenant, _kind_alone(wanted), files, directory, recursive)
    else:
        streams = _streams(context.tenant, wanted, namespace)
    removals = asyncio.run(_delete(context, streams, reason=reason, wait_s=timeout_s if wait else None))
    names = [joined(each.kind, each.name, each.namespace) for each in removals if each.result != "missing"]
    render.emit([each.to_json() for each in removals], output, lambda: _show(removals), names=names)
    missing = [each.failure for each in removals if each.result == "missing"]
    if missing and not ignore_not_found:
        raise NotFound("; ".join(missing), code="resource.unknown")
    return 1 if any(each.result == "refused" for each in removals) else 0


def _kind_alone(wanted: tuple[Named, ...]) -> str | None:
    """With documents only their kind may be said. Raises click.UsageError."""
    if any(each.names for each in wanted):
        raise click.UsageError("name resources, or documents with -f or -d, not both")
    return wanted[0].word if wanted else None


def _streams(tenant: str, wanted: tuple[Named, ...], namespace: str) -> "list[StreamId]":
    from agentplane.domains.discovery import installed
    from agentplane.events.model import StreamId

    if not wanted or not all(each.names for each in wanted):
        raise click.UsageError("name resources as KIND NAME or KIND/NAME, or documents with -f or -d")
    registry = installed().registry
    kinds = [(registry.documented(each.word), each.names) for each in wanted]
    return [StreamId(tenant, kind.name, *split(name, namespace)) for kind, names in kinds for name in names]


async def _delete(
    context: contexts.Context, streams: "Sequence[StreamId]", *, reason: str, wait_s: float | None
) -> "list[Removal]":
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        with leaving("what was handed in goes on without you: agentplane get KIND NAME"):
            return await applying.remove_all(streams, reason, wait_s=wait_s)


def _show(removals: "Sequence[Removal]") -> None:
    words = {"deleting": "is being deleted", "missing": "is not there"}
    for each in removals:
        click.echo(f"{each.kind} {each.namespace}/{each.name} {words.get(each.result, each.result)}")
        if each.result == "refused":
            render.say(f"  {each.failure}", style="red")
