"""`agentplane events tail|export`: the log as a stream of lines that other programs read.

A cursor file holds the sequence up to which lines were handed on; it is replaced in one step, after they were flushed.
So a tail that is killed at any moment begins again at the first line that its reader may not have: nothing is skipped,
and at most the lines of the page in hand come twice, each with its sequence.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from agentplane.cli import context as contexts
from agentplane.cli import events_print, render
from agentplane.cli.events_options import filter_options, filters, window_options
from agentplane.cli.waiting import leaving
from agentplane.errors import Conflict, Refused, Transient
from agentplane.history.places import MAX_SEQUENCE

if TYPE_CHECKING:
    from agentplane.queries.client import EventsFound, QueryClient
    from agentplane.queries.protocol import EventsList

_POLL_S = 0.5
_RETRY_S = 1.0
_PAGE = 500
_CURSOR_BYTES = 64
_LINES = 10
_ALL = -1  # lines: from the beginning of the window
LINE_OUTPUTS = click.Choice(["table", "jsonl", "cloudevents", "plain"])


@click.command()
@filter_options
@window_options
@click.option("-n", "--lines", type=click.IntRange(0, 1000), help="Begin with the last.  [default: 10, or all --since]")
@click.option("-f", "--follow", is_flag=True, help="Go on as events are committed, until interrupted.")
@click.option("--cursor", type=click.Path(dir_okay=False, path_type=Path), help="Continue after what this file holds.")
@click.option("-o", "--output", type=LINE_OUTPUTS, default="table", help="One line an event.")
@click.pass_context
def tail(
    ctx: click.Context,
    /,
    lines: int | None,
    follow: bool,
    cursor: Path | None,
    output: str,
    **given: Any,  # noqa: ANN401 - filters
) -> int:
    """Print the last events; with --follow every new one.

    Or those --since a place. With --cursor nothing is ever skipped: a cursor file that is there says where to begin.
    """
    from agentplane.queries.protocol import EventsList

    if given["until"] is not None and (follow or cursor):
        raise click.UsageError("--until ends, --follow and --cursor go on")
    wish = EventsList(**filters(ctx, given), limit=_PAGE)
    if lines is None:
        lines = _LINES if wish.since is None else _ALL
    place = f"the same command goes on after {cursor}" if cursor else "--cursor FILE keeps the place for the next time"
    with leaving(f"stopped; {place}"):
        asyncio.run(_tail(contexts.current(ctx), wish, lines, follow, cursor, output))
    return 0


async def _tail(  # noqa: PLR0917 - one parameter per option
    context: contexts.Context, wish: "EventsList", lines: int, follow: bool, cursor: Path | None, output: str
) -> None:
    after = read_cursor(cursor) if cursor else None
    async for page in _pages(context, wish, after, lines, follow):
        for stored in page.events:
            sys.stdout.buffer.write(events_print.line(stored, output) + b"\n")
        sys.stdout.buffer.flush()
        if cursor:
            write_cursor(cursor, page.seen if page.next is None else page.next)


async def _pages(
    context: contexts.Context, wish: "EventsList", after: int | None, lines: int, follow: bool
) -> "AsyncIterator[EventsFound]":
    """Pages from `after` on (None: from the last lines), across every outage when following."""
    from agentplane.queries.client import QueryClient

    trouble = False
    while True:
        try:
            async with contexts.connected(context) as bus:
                client = QueryClient(bus, context.tenant)
                while True:
                    page = await _page(client, wish, after, lines)
                    if trouble:
                        trouble = False
                        render.say("again there")
                    moved = after is None or page.events or page.seen != after
                    after = page.seen if page.next is None else page.next
                    if moved:
                        yield page
                    if page.next is None:
                        if not follow:
                            return
                        await asyncio.sleep(_POLL_S)
        except Transient as error:
            if not follow:
                raise
            if not trouble:
                trouble = True
                render.say(f"waiting: {error}")
            await asyncio.sleep(_RETRY_S)


async def _page(client: "QueryClient", wish: "EventsList", after: int | None, lines: int) -> "EventsFound":
    from msgspec.structs import replace

    if after is None and lines == _ALL:
        return await client.events_page(wish)
    if after is None:
        page = await client.events_page(replace(wish, limit=max(lines, 1), newest=True))
        return page if lines else replace(page, events=())
    page = await client.events_page(replace(wish, after=after))
    if page.seen < after:
        raise Conflict(
            f"the log ends at {page.seen}, before the cursor's {after}",
            code="events.cursor-ahead",
            hint="is this the cursor of another agentplane, or was this one restored from a backup?",
        )
    return page


def read_cursor(path: Path) -> int | None:
    """The sequence in a cursor file; None: there is no file yet. Raises Refused `events.cursor`."""
    try:
        with path.open("rb") as file:
            text = file.read(_CURSOR_BYTES).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Refused(f"the cursor cannot be read: {exc.strerror}", code="events.cursor", where=str(path)) from exc
    if not text.isdigit() or int(text) > MAX_SEQUENCE:
        raise Refused("not a cursor: it holds one sequence number", code="events.cursor", where=str(path))
    return int(text)


def write_cursor(path: Path, sequence: int) -> None:
    """Replace a cursor file in one durable step. Raises Refused `events.cursor`."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(b"%d\n" % sequence)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise Refused(f"the cursor cannot be written: {exc.strerror}", code="events.cursor", where=str(path)) from exc


@click.command()
@filter_options
@window_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["cloudevents", "plain"]),
    default="cloudevents",
    show_default=True,
    help="CloudEvents, or the flat form of VerMAS.",
)
@click.option("--out", type=click.File("wb", atomic=True), default="-", help="A file, replaced only when all is there.")
@click.pass_context
def export(ctx: click.Context, /, form: str, out: BinaryIO, **given: Any) -> int:  # noqa: ANN401 - filters
    """Write all matching events as JSON lines.

    CloudEvents, or the plain form of VerMAS.
    """
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import EventsList

    wish = EventsList(**filters(ctx, given), limit=1000)
    context = contexts.current(ctx)

    async def exported() -> int:
        count = 0
        async with contexts.connected(context) as bus:
            async for stored in QueryClient(bus, context.tenant).all_events(wish):
                out.write(events_print.line(stored, form) + b"\n")
                count += 1
        return count

    render.say(f"{asyncio.run(exported())} events")
    out.flush()
    return 0
