"""`agentplane evidence show|export|verify`: what was signed about a run, for people, for keeps, for strangers."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import key_history, render
from agentplane.cli.asking import ask, builtins
from agentplane.cli.naming import run_name
from agentplane.cli.records import opened, trusted_keys
from agentplane.errors import AgentplaneError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentplane.events.model import Event
    from agentplane.evidence.export_file import Subject
    from agentplane.evidence.keys import TrustedKeys
    from agentplane.evidence.record import Record
    from agentplane.evidence.verify import VerifyReport
    from agentplane.projections.evidence import EvidenceRow
    from agentplane.projections.run_view import RunView
    from agentplane.queries.client import QueryClient

_KEYS_HELP = (
    "Public keys to trust: control.pub, and executors/<name>.pub where control's word for an executor is not enough "
    "[default: those of this agentplane]"
)
_Keys = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group()
def evidence() -> None:
    """The signed evidence of a run: show it, export it, verify an export offline."""


@evidence.command()
@click.argument("run", metavar="RUN", type=run_name)
@click.option("--keys", type=_Keys, help=_KEYS_HELP)
@render.output_option
@click.pass_context
def show(ctx: click.Context, run: str, keys: Path | None, output: str) -> int:
    """List every statement about RUN, and who signed it.

    Exit status 7: a signature is not good.
    """
    own = trusted_keys(ctx, keys)
    view, rows = ask(ctx, lambda client: _evidence(client, run))
    trusted = key_history.trusted_for(ctx, view.name, rows, own)
    signed = [(row, _signature(row, trusted)) for row in rows]
    answer = [{**builtins(row), "signature": signature} for row, signature in signed]
    lines = [
        (number, row.kind, row.source, row.index or "-", row.epoch, row.digest[:23], signature, _note(row))
        for number, (row, signature) in enumerate(signed, start=1)
    ]
    headers = ["#", "kind", "signed by", "record", "epoch", "digest", "signature", ""]
    render.emit(answer, output, lambda: render.table(headers, lines, empty="no evidence yet"))
    return 0 if all(signature == "good" for _, signature in signed) else 7


@evidence.command()
@click.argument("run", metavar="RUN", type=run_name)
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="A new directory.")
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where RUN's artifact files are [default: where the executor left them, else fetched from it].",
)
@click.option("--keys", type=_Keys, help=_KEYS_HELP)
@click.option(
    "--without-key-history", is_flag=True, help="Also while control does not say which executors' keys counted when."
)
@render.output_option
@click.pass_context
def export(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    run: str,
    target: Path,
    artifacts: Path | None,
    keys: Path | None,
    without_key_history: bool,
    output: str,
) -> int:
    """Write all that verifying RUN needs into a directory."""
    import msgspec

    from agentplane.evidence.export import select_attempt
    from agentplane.evidence.export_file import open_within, write_export

    own = trusted_keys(ctx, keys)
    view, rows, subject = ask(ctx, lambda client: _all_of(client, run))
    trusted, executor_keys = key_history.asked(ctx, view.name, own, needed=not without_key_history)
    marked = key_history.marked_records(rows, trusted) if executor_keys else ()
    subject = msgspec.structs.replace(subject, executor_keys=executor_keys, marked=marked)
    records = select_attempt([opened(row, trusted) for row in rows if not row.fenced])
    with tempfile.TemporaryDirectory(prefix="agentplane-export-") as away:
        directory = artifacts_here(view, artifacts) or _fetched(ctx, view.name, records, Path(away))
        files = write_export(target, records, subject, trusted, open_within(directory))
    answer = {"run": view.name, "directory": str(target), "files": files, "statements": len(records)}
    answer |= {"keyHistory": executor_keys is not None, "marked": len(marked)}
    render.emit(answer, output, lambda: click.echo(str(target)))
    if marked:
        render.say(f"{len(marked)} more statements were kept and not believed: their keys counted no longer")
    render.say(f"{len(records)} statements, {files} files; verify them: agentplane evidence verify {target}")
    return 0


@evidence.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--keys", type=_Keys, help=_KEYS_HELP)
@click.option("--require-key-history", is_flag=True, help="Refuse an export in which control says nothing of keys.")
@render.output_option
@click.pass_context
def verify(ctx: click.Context, path: Path, keys: Path | None, require_key_history: bool, output: str) -> int:
    """Verify the export at PATH offline, step by step.

    Exit status 0: all of it is as it was signed. 1: something is not.
    """
    from agentplane.clock import SystemClock
    from agentplane.evidence.export_file import read_export
    from agentplane.evidence.verify import verify_export

    trusted = trusted_keys(ctx, keys)
    now = SystemClock().now()
    report = verify_export(read_export(path), trusted, now, need_key_history=require_key_history)
    answer = {"verified": report.verified, "verdict": report.verdict, **builtins(report)}
    render.emit(answer, output, lambda: _steps(report))
    render.say(f"{path}: {report.verdict}", style="green" if report.verified else "red")
    return 0 if report.verified else 1


def artifacts_here(view: "RunView", given: Path | None) -> Path | None:
    """Where a run's files are on this machine; None: with its executor only."""
    directory = given or Path(view.out_dir or "/nonexistent")
    return directory if given or os.access(directory, os.R_OK | os.X_OK) else None


def _fetched(ctx: click.Context, run: str, records: "Sequence[Record]", directory: Path) -> Path:
    from agentplane.cli.artifacts import fetch_files, guest_files

    if files := guest_files(records):
        fetch_files(ctx, run, records, files, directory)
    return directory


async def _evidence(client: "QueryClient", run: str) -> "tuple[RunView, tuple[EvidenceRow, ...]]":
    view = await client.run(run)
    return view, tuple(await client.evidence(view.name))


async def _all_of(client: "QueryClient", run: str) -> "tuple[RunView, tuple[EvidenceRow, ...], Subject]":
    view, rows = await _evidence(client, run)
    # A run that was refused has no run.created: its bundle is the one that was asked for.
    for type_name in ("run.created", "run.requested"):
        after: int | None = 0
        while after is not None:
            page, after = await client.events(after=after, kind="Run", name=view.name, type_glob=type_name)
            if page:
                return view, rows, _subject(page[0].event, created=type_name == "run.created")
    raise Refused("the log has no bundle of this run", code="evidence.bundle", where=view.name)


def _subject(event: "Event", *, created: bool) -> "Subject":
    from agentplane.events.codec import payload
    from agentplane.evidence.export_file import Subject
    from agentplane.runs.model import RunCreated, RunRequested
    from agentplane.runs.pinned import pinned_of

    if not created:
        return Subject(bundle=payload(event, RunRequested).bundle)
    fact = payload(event, RunCreated)
    return Subject(bundle=fact.bundle, pinned=pinned_of(fact))


def _signature(row: "EvidenceRow", trusted: "TrustedKeys") -> str:
    try:
        opened(row, trusted)
    except AgentplaneError as error:
        return error.code
    return "good"


def _note(row: "EvidenceRow") -> str:
    if row.mark:
        return {"key-revoked": "signed with a revoked key", "key-expired": "signed with a key that was rotated out"}[
            row.mark
        ]
    return "of a replaced attempt" if row.fenced else ""


def _steps(report: "VerifyReport") -> None:
    rows = [(step.number, step.name, step.status.value, step.detail) for step in report.steps]
    render.table(["step", "", "", "what was seen"], rows, empty="")
