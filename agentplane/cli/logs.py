"""`agentplane logs`: what a workload prints, live or afterwards."""

import asyncio
import sys

import click

from agentplane.cli import context as contexts


@click.command()
@click.argument("name", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.pass_context
def logs(ctx: click.Context, name: str, follow: bool) -> int:
    """Print the console output of RUN as the bus still has it; all of it is console.log in the run's directory."""
    asyncio.run(_print(contexts.load_context(contexts.state_dir(ctx)), name, follow=follow))
    return 0


async def _print(context: contexts.Context, name: str, *, follow: bool) -> None:
    from agentplane.queries.client import QueryClient

    async with contexts.connected(context) as bus:
        async for chunk in QueryClient(bus, context.tenant).logs(name, follow=follow):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
