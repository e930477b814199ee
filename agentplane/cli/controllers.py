"""`agentplane controllers`: who decides here, and whether they would decide today as they did."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.places import PLACE, place

if TYPE_CHECKING:
    from agentplane.checks.report import Poison, Report
    from agentplane.events.model import StoredEvent
    from agentplane.history.places import Place


@click.group()
def controllers() -> None:
    """Who decides here, and whether a change of code changed what is decided."""


@controllers.command("list")
@render.names_option
def list_controllers(output: str) -> int:
    """List every controller: its version, what it watches."""
    from agentplane.controllers.versions import VERSIONS
    from agentplane.domains.discovery import installed

    registry = installed().registry
    rows = [
        {"controller": each.NAME, "version": each.VERSION, "domain": domain.name, "watches": _watches(each.WATCH)}
        for domain in registry.domains
        for kind in domain.kinds
        for each in kind.controllers
    ]
    rows += [
        {"controller": name, "version": version, "domain": "agentplane", "watches": "runs and wishes"}
        for name, version in VERSIONS.items()
    ]
    table = [(row["controller"], row["version"], row["domain"], row["watches"]) for row in rows]
    headers = ["controller", "version", "domain", "watches"]
    names = [str(row["controller"]) for row in rows]
    render.emit(rows, output, lambda: render.table(headers, table, empty="none"), names=names)
    return 0


@controllers.command()
@click.option("--since", metavar="PLACE", help=f"Judge decisions from here on: {PLACE}.")
@click.option("--until", metavar="PLACE", help="Judge decisions up to here.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A history as `agentplane events export` writes it; without it the log of this context is read.",
)
@render.output_option
@click.pass_context
def check(ctx: click.Context, since: str | None, until: str | None, file: Path | None, output: str) -> int:
    """Take recorded decisions again, and list what would differ.

    The controllers are those that are installed here.

    \b
    Exit status 0: nothing differs, or only what a higher VERSION of its controller declares.
    Exit status 1: a decision differs under the same version, or a line of the file cannot be read.

    The history is folded from its beginning, whatever --since says; it has to be whole, not filtered.
    """  # noqa: D301 - \b is click's
    from agentplane.checks.reading import read_lines

    wanted = _wanted(place(since, "--since"), place(until, "--until"))
    if file is not None:
        with file.open("rb") as lines:
            events, poison = read_lines(lines)
    else:
        events, poison = asyncio.run(_events(contexts.current(ctx))), []
    report = _check(events, poison, wanted)
    render.emit(_json(report), output, lambda: _show(report))
    return 0 if report.passed else 1


def _check(events: "list[StoredEvent]", poison: "list[Poison]", wanted: "Callable[[StoredEvent], bool]") -> "Report":
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from agentplane.checks.check import Check
    from agentplane.domains.discovery import installed
    from agentplane.evidence.keys import CONTROL, Ed25519Signer

    one = Check(installed().registry, Ed25519Signer(Ed25519PrivateKey.generate(), CONTROL), wanted)
    for stored in events:
        one.take(stored)
    return one.report(poison)


async def _events(context: contexts.Context) -> "list[StoredEvent]":
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import EventsList

    async with contexts.connected(context) as bus:
        client = QueryClient(bus, context.tenant)
        return [stored async for stored in client.all_events(EventsList(limit=1000))]


def _wanted(since: "Place | None", until: "Place | None") -> "Callable[[StoredEvent], bool]":
    def wanted(stored: "StoredEvent") -> bool:
        return _reached(since, stored, default=True) and (until is None or not _beyond(until, stored))

    return wanted


def _reached(bound: "Place | None", stored: "StoredEvent", *, default: bool) -> bool:
    if bound is None:
        return default
    if bound.time is not None:
        return stored.recorded_at >= bound.time
    return stored.sequence >= (bound.sequence or 0)


def _beyond(bound: "Place", stored: "StoredEvent") -> bool:
    if bound.time is not None:
        return stored.recorded_at > bound.time
    return stored.sequence > (bound.sequence or 0)


def _watches(watch: object) -> str:
    from collections.abc import Iterable

    each_of = watch if isinstance(watch, Iterable) else ()
    return ", ".join(f"{each.kind} {each.type}" for each in each_of)


def _json(report: "Report") -> object:
    import msgspec

    plain = msgspec.to_builtins(report)
    return {"passed": report.passed, "undeclared": report.undeclared, **plain}


def _show(report: "Report") -> None:
    for each in report.differences:
        was = f"version {each.recorded_version}" if each.recorded_version else "not there"
        now = f"version {each.version}" if each.version else "not installed"
        mark = "declared" if each.declared else "DIFFERS"
        words = f"{mark}: event {each.sequence} {each.resource}: {each.controller} {each.what} ({was}, now {now})"
        render.say(words, style="yellow" if each.declared else "red")
        for change in each.changes:
            render.say(f"    {change.path}: {_value(change.before)} → {_value(change.after)}")
    for poison in report.poison:
        where = f"line {poison.line}" if poison.line else f"event {poison.sequence} ({poison.controller})"
        render.say(f"poison: {where}: {poison.code}: {poison.reason}", style="yellow")
    for why, count in _reasons(report).items():
        render.say(f"not judged: {count} decisions: {why}", style="yellow")
    undeclared, declared = report.undeclared, len(report.differences) - report.undeclared
    click.echo(
        f"{report.events} events, {report.decisions} decisions: {report.same} the same, {undeclared} differ,"
        f" {declared} differ as declared, {len(report.unjudged)} not judged"
    )
    if undeclared:
        render.say("raise the VERSION of a controller whose behaviour you mean to change")


def _reasons(report: "Report") -> dict[str, int]:
    from collections import Counter

    return dict(Counter(f"{each.controller}: {each.why}" for each in report.unjudged))


def _value(value: object) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:117]}…"  # noqa: PLR2004 - a line
