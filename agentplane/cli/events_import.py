"""`agentplane events import`: foreign JSONL as events of the own tenant.

| exit status | means |
|---|---|
| 0 | everything in the file is in the log now |
| 1 | some lines were skipped (`--on-error skip`), the others are in the log |
| 2 | refused: a line cannot be taken; nothing was stored |
| 5 | refused: the log has an id of the file with another body; nothing was stored |
| 6 | control or the bus is away: repeat the same command |
"""

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click
import msgspec

from agentplane.cli import context as contexts
from agentplane.cli import places, render
from agentplane.errors import AgentplaneError

if TYPE_CHECKING:
    from agentplane.imports.model import EventsImported
    from agentplane.imports.scan import Problem, Scanned

_SHOWN: Final = 20
_EVERY: Final = 10_000
_POLL_S: Final = 0.5


class Totals(msgspec.Struct, kw_only=True):
    """What became of a file so far."""

    source: str
    lines: int = 0
    stored: int = 0
    duplicates: int = 0
    skipped: int = 0
    refused: int = 0
    waiting: int | None = None  # number of a last line that is not written to its end
    unknown: dict[str, int] = msgspec.field(default_factory=dict)
    outside: int = 0  # happened before --since or after --until
    problems: list["Problem"] = msgspec.field(default_factory=list)
    imports: list[str] = msgspec.field(default_factory=list)
    dry_run: bool = False

    @property
    def status(self) -> int:
        """The exit status."""
        if self.refused:
            return 5 if all(each.code == "import.conflict" for each in self.problems) else 2
        return 1 if self.skipped else 0


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "cloudevents", "plain", "vermas"]),
    default="auto",
    show_default=True,
    help="auto: each line says it by its fields. plain: our flat form as it stands. vermas: both vocabularies.",
)
@click.option(
    "--on-error",
    type=click.Choice(["refuse", "skip"]),
    default="refuse",
    show_default=True,
    help="When a line cannot be taken: store nothing at all, or leave that line out.",
)
@click.option("--dry-run", is_flag=True, help="Say what would follow; store nothing.")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are appended to the file, until interrupted.")
@click.option(
    "--since", metavar="TIME", help="Only what happened from here on, by its own time: a span (1d) or ISO time."
)
@click.option("--until", metavar="TIME", help="Only what happened up to here, by its own time.")
@click.option("--from-tenant", metavar="TENANT", help="Take this tenant's events as your own.")
@render.output_option
@click.pass_context
def import_events(ctx: click.Context, /, output: str, **given: Any) -> int:  # noqa: ANN401 - options
    """Import events from FILE, one JSON object a line.

    `-` is stdin.

    Told twice or in another order the same lines give the same log. A last line that is not written to its end yet
    waits for the next import. Exit status 0: all is in the log. 1: some lines were skipped. 2: refused and nothing
    stored. 5: refused because an id is stored with another body. 6: try again.
    """
    if given["follow"] and (given["dry_run"] or str(given["file"]) == "-"):
        raise click.UsageError("--follow needs a file, and stores what it finds")
    context = contexts.current(ctx)
    totals = asyncio.run(_Import(context, given).run())
    document = {**msgspec.to_builtins(totals), "status": totals.status}
    render.emit(document, output, lambda: _tell(totals))
    return totals.status


class _Import:
    """One command: scan, compare, hand in; with --follow again and again."""

    def __init__(self, context: contexts.Context, given: dict[str, Any]) -> None:
        from agentplane.domains.discovery import installed
        from agentplane.imports.shaping import rules_of

        self._context = context
        self._rules = rules_of(context.tenant, installed().registry)
        self._given = given
        self._window = places.window(given)
        self._skip = given["on_error"] == "skip"
        source = "stdin" if str(given["file"]) == "-" else given["file"].name[:200]
        self._totals = Totals(source=source, dry_run=given["dry_run"])

    async def run(self) -> Totals:
        with _opened(self._given["file"]) as file:
            offset = number = 0
            while True:
                scanned = await self._part(file, offset, number)
                offset, number = scanned.end, scanned.lines
                if not self._given["follow"] or self._totals.refused:
                    return self._totals
                await asyncio.sleep(_POLL_S)

    async def _part(self, file: BinaryIO, offset: int, number: int) -> "Scanned":
        """Everything that is in the file by now, from a place on."""
        from agentplane.clock import SystemClock
        from agentplane.imports.reading import Format
        from agentplane.imports.scan import Reader

        form = Format(self._given["form"])
        reader = Reader(file, form, self._rules, self._given["from_tenant"], window=self._window)
        scanned = reader.scan(SystemClock().now(), offset=offset, number=number, progress=_progress("read"))
        totals = self._totals
        totals.lines, totals.waiting = scanned.lines, scanned.waiting
        totals.duplicates += scanned.repeated
        totals.outside += scanned.outside
        for type_, count in scanned.unknown.items():
            totals.unknown[type_] = totals.unknown.get(type_, 0) + count
        self._note(scanned.problems, scanned.faulty)
        if scanned.items and not totals.refused:
            await self._send(reader, scanned)
        return scanned

    async def _send(self, reader: Any, scanned: "Scanned") -> None:  # noqa: ANN401 - imported late
        from agentplane.cli.importing import compare, hand_in
        from agentplane.imports.model import ImportRequested

        async with contexts.connected(self._context) as bus:
            found = await compare(bus, reader, self._rules, scanned.items)
            self._totals.duplicates += found.duplicates
            self._note(found.conflicts, len(found.conflicts))
            if not found.new or self._totals.refused:
                return
            if self._given["dry_run"]:
                self._totals.stored += len(found.new)
                return
            try:
                import_id = await hand_in(
                    bus,
                    (reader.line(item) for item in found.new),
                    tenant=self._context.tenant,
                    actor=contexts.actor(),
                    wish=ImportRequested(lines=(), source=self._totals.source, skip=self._skip),
                    done=self._count,
                )
            except AgentplaneError:
                render.say(f"{self._totals.stored} of {len(found.new)} were stored before this; repeating is harmless")
                raise
            self._totals.imports.append(str(import_id))

    def _count(self, report: "EventsImported") -> None:
        from agentplane.imports.scan import Problem

        totals, before = self._totals, self._totals.stored // _EVERY
        totals.stored += report.stored
        totals.duplicates += report.duplicates
        reasons = [Problem(line=each.number, code=each.code, reason=each.message) for each in report.reasons]
        self._note(reasons, report.refused)
        if totals.stored // _EVERY > before:
            render.say(f"{totals.stored} stored")

    def _note(self, problems: list["Problem"], count: int) -> None:
        from agentplane.imports.scan import MAX_PROBLEMS

        totals = self._totals
        room = MAX_PROBLEMS - len(totals.problems)
        totals.problems.extend(problems[:room])
        totals.problems.sort(key=lambda each: each.line)
        if self._skip:
            totals.skipped += count
        else:
            totals.refused += count


def _progress(word: str) -> Any:  # noqa: ANN401 - a function
    def progress(number: int) -> None:
        if number % _EVERY == 0:
            render.say(f"{number} lines {word}")

    return progress


def _opened(path: Path) -> BinaryIO:
    """The file, or what stdin has to its end in a file that has no name."""
    from agentplane.errors import Refused

    if str(path) != "-":
        try:
            return path.open("rb")
        except OSError as exc:
            raise Refused(f"cannot be read: {exc.strerror}", code="import.file", where=str(path)) from exc
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    with click.open_file("-", "rb") as stdin:
        while chunk := stdin.read(1024 * 1024):
            spool.write(chunk)
    return spool


def _tell(totals: Totals) -> None:
    for each in totals.problems[:_SHOWN]:
        place = f"line {each.line}" + (f" column {each.column}" if each.column else "")
        render.say(f"{totals.source}: {place}: {each.reason} [{each.code}]", style="red")
    if len(totals.problems) > _SHOWN:
        render.say(f"… and {totals.skipped + totals.refused - _SHOWN} more; -o json has up to 1000 of them")
    if totals.waiting is not None:
        render.say(f"line {totals.waiting} is not written to its end yet; it waits for the next import")
    if totals.unknown:
        words = ", ".join(f"{type_} ({count})" for type_, count in sorted(totals.unknown.items())[:_SHOWN])
        render.say(f"types that no catalogue here knows, kept as they are: {words}")
    if totals.refused:
        render.say("nothing was stored; --on-error skip leaves such lines out")
    if totals.outside:
        render.say(f"{totals.outside} happened before --since or after --until and are left out")
    would = "would be " if totals.dry_run else ""
    click.echo(
        f"{would}stored {totals.stored}, duplicate {totals.duplicates}, "
        f"skipped {totals.skipped}, refused {totals.refused}"
    )
