"""`agentplane stack up|status|down`."""

import click

from agentplane.cli import context as contexts
from agentplane.cli import render


@click.group()
def stack() -> None:
    """A whole agentplane on this machine: PostgreSQL, NATS, control, projector and one executor."""


@stack.command()
@click.pass_context
def up(ctx: click.Context) -> int:
    """Start the stack and wait until it serves."""
    from agentplane.stack import lifecycle
    from agentplane.stack.layout import Layout

    layout = Layout(contexts.state_dir(ctx))
    lifecycle.up(layout, lambda line: render.say(f"  {line}"))
    render.say(f"agentplane serves from {layout.root}", style="green")
    return 0


@stack.command()
@render.output_option
@click.pass_context
def status(ctx: click.Context, output: str) -> int:
    """Show every process.

    Exit status 0: all of them run. 1: not all do.
    """
    from dataclasses import asdict

    from agentplane.stack import supervision
    from agentplane.stack.layout import Layout

    processes = supervision.processes(Layout(contexts.state_dir(ctx)))
    # supervisord says "pid 12, uptime 0:00:03"; the pid has a column of its own
    rows = [(each.name, each.state, each.pid or "-", each.description.rpartition(", ")[2]) for each in processes]
    render.emit(
        [asdict(each) for each in processes],
        output,
        lambda: render.table(["process", "state", "pid", "remark"], rows, empty="the stack is down"),
    )
    return 0 if processes and all(each.state == "RUNNING" for each in processes) else 1


@stack.command("add-executor")
@click.argument("name")
@click.option("--zone", help="The trust zone it joins [default: default].")
@click.pass_context
def add_executor(ctx: click.Context, name: str, zone: str | None) -> int:
    """Start one more executor, and wait until it has joined.

    It makes its own keys, and joins with a one-time token.
    """
    from agentplane.cli.joining import add

    add(ctx, name, zone)
    render.say(f"{name} has joined", style="green")
    return 0


@stack.command()
@click.pass_context
def down(ctx: click.Context) -> int:
    """Stop everything and leave nothing behind; the state stays."""
    from agentplane.stack import lifecycle
    from agentplane.stack.layout import Layout

    stopped = lifecycle.down(Layout(contexts.state_dir(ctx)), render.say)
    render.say("stopped" if stopped else "the stack was down")
    return 0
