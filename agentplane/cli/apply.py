"""`agentplane apply`: documents of any kind in, and what became of them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import complete_documented, joined
from agentplane.cli.reading import documents_options, read_wishes
from agentplane.cli.waiting import leaving
from agentplane.errors import AgentplaneError

if TYPE_CHECKING:
    from agentplane.cli.resource_outcomes import Outcome
    from agentplane.domains.specs import Wish


class Failed(AgentplaneError):
    """An error under --detailed-exitcode, where 2 means something else."""

    exit_status = 1

    def __init__(self, error: AgentplaneError) -> None:
        super().__init__(error.message, code=error.code, where=error.where, hint=error.hint)


class Mistaken(click.UsageError):
    """A mistake on a command line with --detailed-exitcode."""

    exit_code = Failed.exit_status


class Detailed(click.Command):
    """A command whose --detailed-exitcode holds for mistakes on the command line, too: 2 is taken."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's
    ) -> click.Context:
        """Parse. Raises click.UsageError."""
        detailed = "--detailed-exitcode" in args
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if detailed:
                raise Mistaken(error.message, error.ctx) from error
            raise


@click.command(cls=Detailed)
@click.argument("kind", required=False, shell_complete=complete_documented)
@documents_options
@click.option("--name", help="Of the resource, where no document says it.")
@click.option("--dry-run", is_flag=True, help="Show the decisions and events that would follow; store nothing.")
@click.option("--wait", is_flag=True, help="Wait for the controllers; exit status 1 when one fails.")
@click.option(
    "--timeout", "timeout_s", default=60, show_default=True, type=click.IntRange(1), help="Seconds that --wait waits."
)
@click.option("--detailed-exitcode", is_flag=True, help="0: nothing changes, 2: something does, 1: an error.")
@render.names_option
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
    names = [joined(each.kind, each.name, each.namespace) for each in outcomes]
    render.emit([each.to_json() for each in outcomes], output, lambda: _show(outcomes), names=names)
    if any(each.failed for each in outcomes):
        return 1
    return 2 if detailed_exitcode and any(each.result != "unchanged" for each in outcomes) else 0


async def _apply(
    context: contexts.Context, wishes: "Sequence[Wish]", *, dry_run: bool, wait_s: float | None
) -> "list[Outcome]":
    from agentplane.cli.applying import Applying
    from agentplane.domains.discovery import installed

    async with contexts.connected(context) as bus:
        applying = Applying(bus, installed().registry, contexts.actor())
        if dry_run:
            return [await applying.rehearse(wish) for wish in wishes]
        with leaving("what was handed in goes on without you: agentplane get KIND NAME, agentplane diff"):
            return await applying.carry_out_all(wishes, wait_s=wait_s)


def _show(outcomes: "Sequence[Outcome]") -> None:
    for outcome in outcomes:
        generation = f", generation {outcome.generation}" if outcome.result != "refused" else ""
        rehearsed = " (dry run)" if outcome.dry_run else ""
        click.echo(f"{outcome.kind} {outcome.namespace}/{outcome.name} {outcome.result}{generation}{rehearsed}")
        for step in outcome.steps:  # of a rehearsal: what was asked for
            click.echo(f"  {step.controller} upon {step.upon}: {step.message or 'decides'}")
            for type_ in step.events:
                click.echo(f"    {type_}")
        if not outcome.complete:
            render.say("  and so on: it does not come to an end", style="yellow")
        for failure in outcome.failures:
            render.say(f"  {failure}", style="red")
