"""`agentplane logs`: what a workload prints, live or afterwards."""

import asyncio
import sys

import click

from agentplane.cli import context as contexts
from agentplane.cli.naming import run_name
from agentplane.cli.waiting import leaving


@click.command()
@click.argument("name", metavar="RUN", type=run_name)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option("--events", is_flag=True, help="What the guest reports, as JSON lines, instead of its console.")
@click.pass_context
def logs(ctx: click.Context, name: str, follow: bool, events: bool) -> int:
    """Print what RUN says, as far as the bus still has it; all of it is in the run's directory on its executor."""
    channel = "events" if events else "console"
    with leaving(f"{name} goes on without you: agentplane logs -f {name}, agentplane cancel {name}"):
        asyncio.run(_print(contexts.current(ctx), name, follow=follow, channel=channel))
    return 0


async def _print(context: contexts.Context, name: str, *, follow: bool, channel: str) -> None:
    from agentplane.queries.client import QueryClient

    async with contexts.connected(context) as bus:
        async for chunk in QueryClient(bus, context.tenant).logs(name, follow=follow, channel=channel):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
