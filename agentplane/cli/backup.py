"""`agentplane backup` and `agentplane restore`: a stack or a host as files, and back."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render

if TYPE_CHECKING:
    from datetime import datetime

    from agentplane.backup.manifest import Manifest

_DIRECTORY = click.Path(path_type=Path, file_okay=False)
Rows = list[tuple[str, object]]


def _progress(line: str) -> None:
    render.say(f"  {line}")


@click.command()
@click.option("--to", "target", type=click.Path(path_type=Path), help="A new directory. With --config: its own series.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of a control or an executor host, as this file says, instead of a stack.",
)
@click.option("--check-config", is_flag=True, help="Only check that file.")
@click.option("--with-keys", is_flag=True, help="A stack's private keys and secrets too: guard it as the host itself.")
@render.output_option
@click.pass_context
def backup(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context, target: Path | None, config: Path | None, check_config: bool, with_keys: bool, output: str
) -> int:
    """Back up what runs: database, journal, attempts, public keys, configuration. Nothing stops meanwhile."""
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    if config is None:
        if target is None or check_config:
            raise click.UsageError("a stack is backed up --to DIRECTORY; --config FILE names a host's settings")
        from agentplane.backup import sources
        from agentplane.backup.take import take
        from agentplane.stack.layout import Layout

        source = sources.stack_source(Layout(contexts.state_dir(ctx)))
        _show(target, take(source, target, with_keys=with_keys, now=now, say=_progress), output)
        return 0
    if with_keys:
        raise click.UsageError("--with-keys is for stacks: a host's keys are not the backup's to read")
    return _back_up_host(config, target, check_config, now, output)


def _back_up_host(config: Path, target: Path | None, check_config: bool, now: "datetime", output: str) -> int:
    from agentplane.backup import sources
    from agentplane.backup.series import take_next
    from agentplane.backup.settings import BackupSettings
    from agentplane.backup.take import take
    from agentplane.daemon.config import load_settings

    settings = load_settings(config, BackupSettings)
    if check_config:
        render.say(f"{config}: good", style="green")
        return 0
    source = sources.host_source(settings)
    if target is None:
        target, made = take_next(source, settings.directory, keep=settings.keep, now=now, say=_progress)
    else:
        made = take(source, target, with_keys=False, now=now, say=_progress)
    _show(target, made, output)
    return 0


def _show(target: Path, made: "Manifest", output: str) -> None:
    import msgspec

    rows: Rows = [
        ("of", made.of),
        ("files", len(made.files)),
        ("size", f"{sum(each.size_bytes for each in made.files)} bytes"),
    ]
    if made.log:
        rows += [
            ("events", made.log.events),
            ("last sequence", made.log.last_sequence),
            ("statements", made.log.statements),
        ]
    if made.journal:
        rows.append(("journal records", f"{made.journal.first_index} to {made.journal.last_index}"))
    rows.append(("private keys", "yes" if made.with_keys else "no: keep those apart"))
    answer = {"directory": str(target), **msgspec.to_builtins(made)}
    render.emit(answer, output, lambda: render.table(["", str(target)], rows, empty=""))


@click.command()
@click.option("--from", "source", type=_DIRECTORY, required=True, help="A directory that `agentplane backup` made.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where control.key and exec-local.key are, for a stack's backup made without --with-keys.",
)
@click.option("--database", "data", type=_DIRECTORY, help="A control host's backup, as this PostgreSQL data directory.")
@click.option("--database-name", default="agentplane", show_default=True, help="The log's database in it.")
@click.option("--executor", "state", type=_DIRECTORY, help="An executor host's backup, into this state directory.")
@render.output_option
@click.pass_context
def restore(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    source: Path,
    keys: Path | None,
    data: Path | None,
    database_name: str,
    state: Path | None,
    output: str,
) -> int:
    """Restore a backup where nothing is; done only when every event, statement and record verified.

    Without --database and --executor: a stack, into the empty state directory.
    """
    if sum(each is not None for each in (keys, data, state)) > 1:
        raise click.UsageError("--keys is for a stack; --database and --executor are one host each")
    if data is not None:
        return _restore_database(source, data, database_name, output)
    if state is not None:
        return _restore_executor(source, state, output)
    return _restore_stack(source, contexts.state_dir(ctx), keys, output)


def _restore_stack(source: Path, root: Path, keys: Path | None, output: str) -> int:
    import msgspec

    from agentplane.backup.restore import restore as restore_into

    done = restore_into(source, root, keys=keys, say=_progress)
    rows: Rows = [
        ("backup of", done.backup_made_at),
        ("events", f"{done.log.events}, {done.events_after_mark} of them appended during the backup"),
        ("last sequence", done.log.last_sequence),
        ("statements", done.log.statements),
        ("journal records", f"{done.journal.first_index} to {done.journal.last_index}"),
    ]
    render.emit(msgspec.to_builtins(done), output, lambda: render.table(["", done.directory], rows, empty=""))
    render.say(f"verified; start it: agentplane --state-dir {done.directory} stack up", style="green")
    return 0


def _restore_database(source: Path, data: Path, name: str, output: str) -> int:
    import msgspec

    from agentplane.backup.restore_hosts import restore_database

    done = restore_database(source, data, name=name, say=_progress)
    rows: Rows = [
        ("backup of", done.backup_made_at),
        ("events", f"{done.log.events}, {done.events_after_mark} of them appended during the backup"),
        ("last sequence", done.log.last_sequence),
        ("statements", done.log.statements),
    ]
    render.emit(msgspec.to_builtins(done), output, lambda: render.table(["", done.directory], rows, empty=""))
    render.say("verified; start it: systemctl start postgresql agentplane-database agentplane-control", style="green")
    return 0


def _restore_executor(source: Path, state: Path, output: str) -> int:
    import msgspec

    from agentplane.backup.restore_hosts import restore_executor

    done = restore_executor(source, state, say=_progress)
    rows: Rows = [
        ("backup of", done.backup_made_at),
        ("executor", done.journal.executor),
        ("journal records", f"{done.journal.first_index} to {done.journal.last_index}"),
    ]
    render.emit(msgspec.to_builtins(done), output, lambda: render.table(["", done.directory], rows, empty=""))
    render.say("verified; start it: systemctl start agentplane-executor", style="green")
    return 0
