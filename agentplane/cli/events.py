"""`agentplane events`: the log as it is, what caused what, and how resources came to be what they are."""

from typing import Any

import click

from agentplane.cli import events_print, render
from agentplane.cli.asking import ask, builtins
from agentplane.cli.events_append import append
from agentplane.cli.events_catalogue import schema, types
from agentplane.cli.events_import import import_events
from agentplane.cli.events_options import filter_options, filters, window_options
from agentplane.cli.events_tail import export, tail
from agentplane.cli.events_why import replay, why


@click.group()
def events() -> None:
    """The log of everything that happened, in the order in which it was committed."""


@events.command("list")
@filter_options
@window_options
@click.option("--after", type=click.IntRange(0), help="Only sequence numbers greater than this: where a page ended.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@events_print.output_option
@click.pass_context
def list_events(ctx: click.Context, /, after: int | None, limit: int, output: str, **given: Any) -> int:  # noqa: ANN401
    """List events in order.

    The last ones that match, or the first ones after --since or --after.
    """
    from agentplane.queries.protocol import EventsList

    wish = filters(ctx, given)
    newest = after is None and wish["since"] is None
    asked = EventsList(**wish, after=after or 0, limit=limit, newest=newest)
    found = ask(ctx, lambda client: client.events_page(asked))
    events_print.emit(found.events, output)
    if found.next is not None:
        render.say(f"more: --after {found.next}")
    elif newest and found.older and found.events:
        render.say(f"older: --until {found.events[0].sequence - 1}")
    return 0


@events.command()
@click.argument("event", metavar="ID|SEQ")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml", "table", "cloudevents", "jsonl", "plain"]),
    default="yaml",
    is_eager=True,
    callback=render.remember_output,
    help="How to print the event.",
)
@click.pass_context
def show(ctx: click.Context, event: str, output: str) -> int:
    """Show one event with all its data.

    By its id, or by its sequence number.
    """
    import orjson

    from agentplane.events.cloudevents import encode

    found = ask(ctx, lambda client: client.event(event))
    if output in {"json", "yaml"}:
        render.emit(orjson.loads(encode(found)), output, lambda: None)
    else:
        events_print.emit([found], output)
    return 0


@events.command()
@filter_options
@window_options
@click.option(
    "--by",
    type=click.Choice(["type", "kind", "phase", "actor", "name"]),
    default="type",
    show_default=True,
    help="What to count.",
)
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 1000), help="How many at most.")
@render.list_option
@click.pass_context
def stats(ctx: click.Context, /, by: str, limit: int, output: str, **given: Any) -> int:  # noqa: ANN401 - filters
    """Count events by type, kind, phase, actor or name.

    The most frequent first.
    """
    from agentplane.clock import rfc3339
    from agentplane.queries.protocol import EventsStats

    asked = EventsStats(**filters(ctx, given), by=by, limit=limit)
    found = ask(ctx, lambda client: client.events_stats(asked))
    rows = [(each.value, each.count, each.first, each.last, rfc3339(each.last_recorded_at)) for each in found]
    headers = [by, "count", "first seq", "last seq", "last recorded"]
    render.emit(builtins(found), output, lambda: render.table(headers, rows, empty="no such events"))
    return 0


for command in (tail, export, append, import_events, types, schema, why, replay):
    events.add_command(command)
