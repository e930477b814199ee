"""`agentplane context`: how this command line reaches its control plane."""

import click
import msgspec

from agentplane.cli import context as contexts
from agentplane.cli import render


@click.command()
@render.output_option
@click.pass_context
def context(ctx: click.Context, output: str) -> int:
    """Show how this command line reaches its control plane. Reads one file and connects to nothing."""
    directory = contexts.state_dir(ctx)
    found = contexts.load_context(directory)
    document = {"file": str(directory / contexts.FILE_NAME), **msgspec.to_builtins(found)}
    rows = [(name, _words(value)) for name, value in document.items()]
    render.emit(document, output, lambda: render.table(("setting", "value"), rows, empty="nothing"))
    return 0


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None) or "yes"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
