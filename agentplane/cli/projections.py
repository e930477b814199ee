"""`agentplane projections status|rebuild`."""

import click

from agentplane.cli import render
from agentplane.cli.get import ask, builtins


@click.group()
def projections() -> None:
    """The read models: how far they are, and building them again from the log."""


@projections.command()
@render.output_option
@click.pass_context
def status(ctx: click.Context, output: str) -> int:
    """Show position, lag and failures; exit status 1 when a projection has stopped."""
    answer = ask(ctx, lambda client: client.projections())
    rows = [(each.name, each.state, each.position, each.lag, each.message or "-") for each in answer]
    headers = ["projection", "state", "position", "lag", "message"]
    render.emit(builtins(answer), output, lambda: render.table(headers, rows, empty="none"))
    return 0 if all(each.state != "stopped" for each in answer) else 1


@projections.command()
@click.argument("name", required=False)
@render.output_option
@click.pass_context
def rebuild(ctx: click.Context, name: str | None, output: str) -> int:
    """Build every projection (or NAME) again from the log; exit status 1 when the result is another."""
    answer = ask(ctx, lambda client: client.rebuild(name))
    rows = [(each.name, each.events, "same" if each.same else "different", each.digest[:23]) for each in answer]
    headers = ["projection", "events", "compared", "digest"]
    render.emit(builtins(answer), output, lambda: render.table(headers, rows, empty="none"))
    return 0 if all(each.same for each in answer) else 1
