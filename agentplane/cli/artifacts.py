"""`agentplane artifacts list|get`: what a run left, fetched from the executor that holds it, checked by its seal."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import key_history, render
from agentplane.cli.asking import builtins
from agentplane.cli.naming import run_name
from agentplane.errors import NotFound, Tampered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from agentplane.evidence.record import Record
    from agentplane.projections.evidence import EvidenceRow
    from agentplane.queries.artifacts import ArtifactClient
    from agentplane.queries.client import QueryClient
    from agentplane.runs.model import ArtifactFact

MAX_MIB = 1024


@click.group()
def artifacts() -> None:
    """The files that a run left."""


@artifacts.command("list")
@click.argument("run", metavar="RUN", type=run_name)
@render.names_option
@click.pass_context
def show(ctx: click.Context, run: str, output: str) -> int:
    """List the files of RUN as its executor sealed them."""
    name, records = _sealed_run(ctx, run)
    documents = _documents(records)
    files = sealed_files(records)
    kinds = ["document" if fact.path in documents else "file" for fact in files]
    answer = [{**builtins(fact), "kind": kind} for fact, kind in zip(files, kinds, strict=True)]
    rows = [(fact.path, kind, fact.size_bytes, fact.sha256[:16]) for fact, kind in zip(files, kinds, strict=True)]
    empty = f"{name} left no files"
    names = [fact.path for fact in files]
    render.emit(answer, output, lambda: render.table(["path", "", "bytes", "sha256"], rows, empty=empty), names=names)
    return 0


@artifacts.command()
@click.argument("run", metavar="RUN", type=run_name)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--to", "target", type=click.Path(path_type=Path), help="A directory [default: ./RUN].")
@click.option("--max-mib", default=MAX_MIB, show_default=True, help="Fetch no more than this in all.")
@render.output_option
@click.pass_context
def get(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context, run: str, names: tuple[str, ...], target: Path | None, max_mib: int, output: str
) -> int:
    """Fetch the files of RUN, or only those named.

    Each file is whole and as it was sealed, or not there. Goes on where it was cut off.
    """
    name, records = _sealed_run(ctx, run)
    files = _chosen(sealed_files(records), names, name)
    directory = (target or Path(name)).absolute()
    written = fetch_files(ctx, name, records, files, directory, max_mib)
    answer = {"run": name, "directory": str(directory), "files": builtins(files), "fetched": written}
    render.emit(answer, output, lambda: click.echo(str(directory)))
    render.say(f"{len(files)} files, {written} of them fetched now; all are what {name}'s seal says", style="green")
    return 0


def fetch_files(  # noqa: PLR0917 - what a download is made of
    ctx: click.Context,
    run: str,
    records: "Sequence[Record]",
    files: "Sequence[ArtifactFact]",
    directory: Path,
    max_mib: int = MAX_MIB,
) -> int:
    """Have sealed files in a directory; answers how many were not there yet. Raises as `evidence.download`."""
    import asyncio

    from agentplane.evidence.download import check_total
    from agentplane.queries.artifacts import ArtifactClient

    check_total(files, max_mib << 20)
    context = contexts.current(ctx)

    async def fetch() -> int:
        async with contexts.connected(context) as bus:
            return await _fetch(ArtifactClient(bus, context.tenant), run, records, files, directory)

    return asyncio.run(fetch())


async def _fetch(
    client: "ArtifactClient",
    run: str,
    records: "Sequence[Record]",
    files: "Sequence[ArtifactFact]",
    directory: Path,
) -> int:
    from agentplane.evidence.download import fetch_file, place

    documents, written = _documents(records), 0

    async def chunks(path: str, offset: int, upto: int) -> "AsyncIterator[bytes]":
        if path in documents:
            yield documents[path][offset:]
            return
        async for chunk in client.chunks(run, path, offset=offset, upto=upto):
            yield chunk

    for number, fact in enumerate(files, start=1):
        render.say(f"{number}/{len(files)} {fact.path} ({fact.size_bytes} bytes)")
        written += await fetch_file(fact, place(directory, fact), chunks)
    return written


def sealed_files(records: "Sequence[Record]") -> "tuple[ArtifactFact, ...]":
    """The files that the seal of an attempt lists; none when there is no seal (a run that was refused)."""
    from agentplane.evidence.seal import SEAL_KIND, read_seal

    last = records[-1].statement
    return read_seal(last.predicate.artifact).files if last.kind == SEAL_KIND else ()


def guest_files(records: "Sequence[Record]") -> "tuple[ArtifactFact, ...]":
    """Of them, those that no statement holds: the guest's own."""
    documents = _documents(records)
    return tuple(fact for fact in sealed_files(records) if fact.path not in documents)


def _documents(records: "Sequence[Record]") -> dict[str, bytes]:
    from agentplane.evidence.export import document_files

    return document_files(records)


def _sealed_run(ctx: click.Context, run: str) -> "tuple[str, tuple[Record, ...]]":
    """A run's name, and the records of the attempt that counts, their signatures verified."""
    from agentplane.cli.asking import ask
    from agentplane.cli.records import opened, trusted_keys
    from agentplane.evidence.export import select_attempt

    own = trusted_keys(ctx, None)

    async def question(client: "QueryClient") -> "tuple[str, tuple[EvidenceRow, ...]]":
        view = await client.run(run)
        return view.name, await client.evidence(view.name)

    name, rows = ask(ctx, question)
    trusted = key_history.trusted_for(ctx, name, rows, own)
    records = select_attempt([opened(row, trusted) for row in rows if not row.fenced])
    if any(record.statement.predicate.run.name != name for record in records):
        raise Tampered("evidence of another run was answered", code="evidence.run", where=name)
    return name, records


def _chosen(files: "tuple[ArtifactFact, ...]", names: tuple[str, ...], run: str) -> "tuple[ArtifactFact, ...]":
    known = {fact.path: fact for fact in files}
    if unknown := [name for name in names if name not in known]:
        hint = f"`agentplane artifacts list {run}` names its files"
        raise NotFound(f"{run} left no file {unknown[0]!r}", code="artifact.unknown", hint=hint)
    return tuple(known[name] for name in names) or files
