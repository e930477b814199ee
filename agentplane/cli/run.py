"""`agentplane run|replay|cancel`: an intent in, and what became of it."""

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.naming import run_name
from agentplane.errors import Refused

if TYPE_CHECKING:
    from msgspec import UnsetType

    from agentplane.events.model import Event
    from agentplane.runs.model import Built, RunRequested, StorePath


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--input", "inputs", multiple=True, metavar="NAME=PATH", help="A read-only tree at /inputs/NAME.")
@click.option("--executor", help="Ask for this executor; the bundle's own spec.executor.ref wins.")
@click.option(
    "--pushed",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `bundle push -o json` printed: run that very guest.",
)
@click.option("--seed", default="0", show_default=True, help="Given to the guest as AGENTPLANE_SEED.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit status 1 when the run fails.")
@click.option("--dry-run", is_flag=True, help="Validate and show the intent; hand in nothing.")
@render.output_option
@click.pass_context
def run(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    bundle: Path,
    inputs: tuple[str, ...],
    executor: str | None,
    pushed: Path | None,
    seed: str,
    wait: bool,
    dry_run: bool,
    output: str,
) -> int:
    """Run the bundle at BUNDLE (its directory or its document)."""
    context = contexts.current(ctx)
    intent = _intent(context.tenant, *_wish(bundle, inputs, executor, seed, pushed))
    if dry_run:
        import msgspec

        render.emit(msgspec.to_builtins(intent), output if output != "table" else "yaml", lambda: None)
        return 0
    return _submit(context, intent, wait=wait, output=output)


def _wish(
    bundle: Path, inputs: tuple[str, ...], executor: str | None, seed: str, pushed: Path | None
) -> "tuple[str, RunRequested]":
    from agentplane.cli.bundles import judge, show
    from agentplane.cli.trees import add_input, author_store, parse_inputs
    from agentplane.runs.model import RunRequested

    report, document, facts, directory = judge(bundle)
    if not report.valid:
        show(report)
        raise Refused(f"{len(report.failures)} finding(s)", code="bundle.invalid", where=str(bundle))
    parsed, nix = parse_inputs(inputs), author_store()
    source = nix.add_tree(directory, f"bundle-{report.name}")
    wish = RunRequested(
        bundle=document.value,
        bundle_path=str(directory),
        source=source,
        files=facts,
        inputs=tuple(add_input(nix, name, path) for name, path in parsed.items()),
        executor=executor,
        seed=seed,
        built=_built(pushed, source),
    )
    return report.name or "bundle", wish


def _built(pushed: Path | None, source: "StorePath") -> "tuple[Built, ...] | UnsetType":
    from msgspec import UNSET

    if pushed is None:
        return UNSET
    from agentplane.caches.pushed import built_for, read_pushed

    return built_for(read_pushed(pushed), source, str(pushed))


def _intent(tenant: str, name: str, wish: "RunRequested") -> "Event":
    from agentplane.clock import SystemClock
    from agentplane.intents.runs import request_run

    return request_run(
        uuid.uuid4(), tenant=tenant, bundle_name=name, actor=contexts.actor(), now=SystemClock().now(), wish=wish
    )


@click.command()
@click.argument("run_name", metavar="RUN", type=run_name)
@click.option("--no-wait", is_flag=True, help="Hand it in and return.")
@render.output_option
@click.pass_context
def replay(ctx: click.Context, run_name: str, no_wait: bool, output: str) -> int:
    """Run RUN again from its pinned digests and compare exit code and artifacts.

    Exit status 0: they match. 1: they differ, and a DivergenceArtifact says how.
    """
    context = contexts.current(ctx)
    intent = asyncio.run(_replay_intent(context, run_name))
    return _submit(context, intent, wait=not no_wait, output=output)


async def _replay_intent(context: contexts.Context, run_name: str) -> "Event":
    from agentplane.queries.client import QueryClient
    from agentplane.runs.model import RunRequested, StorePath

    async with contexts.connected(context) as bus:
        original = await QueryClient(bus, context.tenant).run(run_name)
    wish = RunRequested(  # everything else comes from the pins of the original
        bundle={}, bundle_path="", source=StorePath(path="", nar_hash=""), files=(), replay_of=original.name
    )
    return _intent(context.tenant, original.bundle.partition("@")[0], wish)


@click.command()
@click.argument("run_name", metavar="RUN", type=run_name)
@click.option("--reason", default="asked for by its author", show_default=True, help="Why; kept in the log.")
@click.pass_context
def cancel(ctx: click.Context, run_name: str, reason: str) -> int:
    """Stop RUN; what it has shown so far stays."""
    context = contexts.current(ctx)
    asyncio.run(_cancel(context, run_name, reason))
    return 0


async def _cancel(context: contexts.Context, run_name: str, reason: str) -> None:
    from agentplane.cli.submit import publish
    from agentplane.clock import SystemClock
    from agentplane.intents.runs import request_cancel
    from agentplane.queries.client import QueryClient

    async with contexts.connected(context) as bus:
        name = (await QueryClient(bus, context.tenant).run(run_name)).name
        now = SystemClock().now()
        intent = request_cancel(
            uuid.uuid4(), tenant=context.tenant, run=name, actor=contexts.actor(), now=now, reason=reason
        )
        await publish(bus, intent)
    render.say(f"asked to stop {name}; see `agentplane get runs {name}`")


def _submit(context: contexts.Context, intent: "Event", *, wait: bool, output: str) -> int:
    from agentplane.cli.outcome import follow_run

    return asyncio.run(follow_run(context, intent, wait=wait, output=output))
