"""`agentplane eval`: how well work went, as figures over the log."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
import msgspec

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.places import PLACE, place

if TYPE_CHECKING:
    from agentplane.eval.model import Section
    from agentplane.eval.observing import Observed
    from agentplane.eval.report import Report
    from agentplane.history.places import Place

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_SECTIONS: Final = {
    "completion": "Does work get done, and at the first attempt?",
    "compliance": "Does who is assigned act at once, and are the rules kept?",
    "throughput": "How much work gets done, how soon, at what cost?",
    "delivery": "Do messages reach whom they are for?",
    "recovery": "Do agents come back after a failure, soon and unaided?",
    "verification": "Does it pass what is good and catch what is not?",
}


def _options(command: Decorated) -> Decorated:
    """Add `--since --until --actor`."""
    for option in (
        click.option("--actor", metavar="GLOB", help="Only what these did, such as 'project-a/*'."),
        click.option("--until", metavar="PLACE", help="Only what happened up to here, this included."),
        click.option("--since", metavar="PLACE", help=f"Only what happened from here on, by its own time: {PLACE}."),
    ):
        command = option(command)
    return command


@click.group("eval")
def evaluate() -> None:
    """How well work went: figures over the log, with their formulas, their sources and their targets.

    What cannot be computed, because there is nothing to divide by, is null. docs/eval.md explains every figure.
    """


def _section(name: str, help_: str) -> click.Command:
    @click.command(name, help=help_)
    @_options
    @render.output_option
    @click.pass_context
    def command(ctx: click.Context, /, output: str, **given: Any) -> int:  # noqa: ANN401 - the window
        report = _evaluated(ctx, given, (name,))
        render.emit(msgspec.to_builtins(report), output, lambda: _tell(report))
        return 0

    return command


@click.command("report")
@_options
@click.option(
    "--output-dir",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    help="Write report.md and report.json into this directory; NAME.md or NAME.json: that file alone.",
)
@click.option(
    "-o",
    "form",
    type=click.Choice(["markdown", "json", "yaml", "table"]),
    default="markdown",
    show_default=True,
    is_eager=True,
    callback=render.remember_output,
    help="How to print the report.",
)
@click.pass_context
def report_(ctx: click.Context, /, directory: Path | None, form: str, **given: Any) -> int:  # noqa: ANN401
    """All figures, as Markdown and as JSON."""
    from agentplane.eval.report import markdown

    report = _evaluated(ctx, given, ())
    if directory is None:
        render.emit(
            msgspec.to_builtins(report),
            form,
            lambda: click.echo(markdown(report), nl=False) if form == "markdown" else _tell(report),
        )
        return 0
    alone = directory.suffix in {".md", ".json"}
    (directory.parent if alone else directory).mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".md", markdown(report)), (".json", _json(report))):
        path = directory if alone else directory / f"report{suffix}"
        if path.suffix == suffix:
            path.write_text(text, encoding="utf-8")
            click.echo(str(path))
    return 0


def _json(report: "Report") -> str:
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def _evaluated(ctx: click.Context, given: dict[str, Any], sections: tuple[str, ...]) -> "Report":
    from agentplane.eval.observing import Observed
    from agentplane.eval.report import evaluate as evaluated

    selection = {name: given[name] for name in ("since", "until", "actor") if given[name] is not None}
    places = place(given["since"], "--since"), place(given["until"], "--until")
    context = contexts.current(ctx)
    observed = Observed()
    asyncio.run(_observe(context, places, given["actor"], observed))
    return evaluated(observed, tenant=context.tenant, selection=selection, sections=sections)


async def _observe(
    context: contexts.Context, places: "tuple[Place | None, Place | None]", actor: str | None, observed: "Observed"
) -> None:
    from agentplane.domains.discovery import installed
    from agentplane.events.model import Phase
    from agentplane.history.places import Place
    from agentplane.history.windows import where_to_look
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import EventsList

    since, until, window = where_to_look(*places)
    wish = EventsList(phase=Phase.FACT, actor=actor, since=since, until=until, limit=1000)
    families = dict.fromkeys(each.family for each in installed().registry.facts.values())
    async with contexts.connected(context) as bus:
        client = QueryClient(bus, context.tenant)
        if until is None:  # one end for all families
            page = await client.events_page(msgspec.structs.replace(wish, limit=1))
            wish = msgspec.structs.replace(wish, until=Place(sequence=page.seen))
        for family in families:
            async for stored in client.all_events(msgspec.structs.replace(wish, type=f"{family}.*")):
                if window.has(stored.event.time):
                    observed.add(stored)


def _tell(report: "Report") -> None:
    for section in report.sections:
        _table(section)
    if report.unreadable:
        render.say(f"{report.unreadable} facts could not be read", style="yellow")


def _table(section: "Section") -> None:
    from agentplane.eval.report import terms_words, value_words

    rows = []
    for each in section.metrics:
        left_out = f", {each.left_out} left out" if each.left_out else ""
        standing = "-" if each.standing == "none" else each.standing.value
        words = (each.title, value_words(each), terms_words(each) + left_out, each.target or "-", standing)
        rows.append((each.name, *words))
    render.table([section.name, "what", "value", "of", "target", "standing"], rows, empty="")
    click.echo()


for _name, _help in _SECTIONS.items():
    evaluate.add_command(_section(_name, _help))
evaluate.add_command(report_)
for _alias, _name in (
    ("gupp", "compliance"),
    ("assignment-compliance", "compliance"),
    ("verify-accuracy", "verification"),
):
    _same = _section(_name, _SECTIONS[_name])
    _same.hidden = True  # VerMAS' names of these
    evaluate.add_command(_same, _alias)
