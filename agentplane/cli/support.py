"""`agentplane support-bundle`: what a helper needs to know, and no secret."""

from pathlib import Path

import click

from agentplane.cli import context as contexts
from agentplane.cli import render


@click.command("support-bundle")
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="A new file, FILE.tar.gz.")
@render.output_option
@click.pass_context
def support_bundle(ctx: click.Context, target: Path, output: str) -> int:
    """Write doctor's answer, status, versions, configuration and the last log lines into FILE.tar.gz, redacted."""
    from datetime import UTC, datetime

    from agentplane.stack.layout import Layout
    from agentplane.support.archive import make

    files = make(Layout(contexts.state_dir(ctx)), target, now=datetime.now(UTC))
    render.emit(
        {"file": str(target), "files": files},
        output,
        lambda: render.table(["file", "bytes"], files.items(), empty="nothing"),
    )
    render.say(f"{target}: no secret of this host is in it; look through it before you send it")
    return 0
