"""`agentplane backup` and `agentplane restore`: a stack as files, and back."""

from pathlib import Path

import click

from agentplane.cli import context as contexts
from agentplane.cli import render


@click.command()
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="A new directory.")
@click.option("--with-keys", is_flag=True, help="Private keys and secrets too: guard it as you guard the host.")
@render.output_option
@click.pass_context
def backup(ctx: click.Context, target: Path, with_keys: bool, output: str) -> int:
    """Back up the running stack: database, journal, attempts, public keys, inventory. Nothing stops meanwhile."""
    from datetime import UTC, datetime

    import msgspec

    from agentplane.backup.take import take
    from agentplane.stack.layout import Layout

    layout = Layout(contexts.state_dir(ctx))
    made = take(layout, target, with_keys=with_keys, now=datetime.now(UTC), say=lambda line: render.say(f"  {line}"))
    rows = [
        ("files", len(made.files)),
        ("size", f"{sum(each.size_bytes for each in made.files)} bytes"),
        ("events", made.log.events),
        ("last sequence", made.log.last_sequence),
        ("statements", made.log.statements),
        ("journal records", f"{made.journal.first_index} to {made.journal.last_index}"),
        ("private keys", "yes" if with_keys else "no: keep those apart"),
    ]
    answer = {"directory": str(target), **msgspec.to_builtins(made)}
    render.emit(answer, output, lambda: render.table(["", str(target)], rows, empty=""))
    return 0


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    required=True,
    help="A directory that `agentplane backup` made.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where control.key and exec-local.key are, for a backup made without --with-keys.",
)
@render.output_option
@click.pass_context
def restore(ctx: click.Context, source: Path, keys: Path | None, output: str) -> int:
    """Restore a backup into an empty state directory; done only when every event, statement and record verified."""
    import msgspec

    from agentplane.backup.restore import restore as restore_into

    root = contexts.state_dir(ctx)
    done = restore_into(source, root, keys=keys, say=lambda line: render.say(f"  {line}"))
    rows = [
        ("backup of", done.backup_made_at),
        ("events", f"{done.log.events}, {done.events_after_mark} of them appended during the backup"),
        ("last sequence", done.log.last_sequence),
        ("statements", done.log.statements),
        ("journal records", f"{done.journal.first_index} to {done.journal.last_index}"),
    ]
    render.emit(msgspec.to_builtins(done), output, lambda: render.table(["", done.directory], rows, empty=""))
    render.say(f"verified; start it: agentplane --state-dir {done.directory} stack up", style="green")
    return 0
