"""`agentplane projections status|rebuild`."""

from typing import TYPE_CHECKING

import click

from agentplane.cli import render
from agentplane.cli.asking import ask, builtins
from agentplane.cli.places import at_option, place
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.projections.status import Status


@click.group()
def projections() -> None:
    """The read models: how far they are, and building them again from the log."""


@projections.command()
@render.list_option
@click.pass_context
def status(ctx: click.Context, output: str) -> int:
    """Show version, position, lag, throughput and failures.

    Exit status 0: all are at work. 1: one has stopped, or waits for a newer program.

    \b
    live         it has seen every event, or will within seconds
    catching up  it is behind: what is there is right, and older than the log
    upgrading    N % of this release's version are built beside the one that is served
    rebuilding   live, and folded once more beside itself to be compared
    waiting      before an event that a newer program wrote
    stopped      before an event that it cannot fold; what was served goes on being served
    removed      no installed domain keeps it any more; its rows stay until you drop them
    """  # noqa: D301 - \b is click's
    answer = ask(ctx, lambda client: client.projections())
    rows = [(each.projection, _state(each), *_numbers(each), _why(each)) for each in answer]
    headers = ["projection", "state", "version", "building", "position", "lag", "events/s", "message"]
    render.emit(builtins(answer), output, lambda: render.table(headers, rows, empty="none"))
    return 1 if any(_is_stuck(each) for each in answer) else 0


def _state(status: "Status") -> str:
    from agentplane.projections.status import State, state_of

    state = state_of(status)  # an older query service does not say it
    if state is State.REBUILDING:
        return f"rebuilding, at {status.rebuilding}"
    if state is State.UPGRADING and status.building is not None:
        return f"upgrading, {status.building.percent} %"
    return state


def _numbers(status: "Status") -> tuple[object, ...]:
    """Versions, and how far it is: in events and in time."""
    from agentplane.projections.status import span

    building = "-" if status.building is None else status.building.version
    lag = f"{status.lag} ({span(status.lag_s)})" if status.lag else 0
    rate = status.events_per_s if status.building is None else status.building.events_per_s
    return status.version, building, status.position, lag, f"{rate:,.1f}"


def _why(status: "Status") -> str:
    from agentplane.projections.status import State, words

    return "-" if status.state is State.CATCHING_UP else words(status) or "-"  # the numbers say it


def _is_stuck(status: "Status") -> bool:
    return not status.removed and _has_stopped(status)


def _has_stopped(status: "Status") -> bool:
    return status.poison is not None or (status.building is not None and status.building.poison is not None)


@projections.command()
@click.argument("name", required=False)
@render.output_option
@click.pass_context
def rebuild(ctx: click.Context, name: str | None, output: str) -> int:
    """Build every projection (or NAME) again from the log.

    Readers are served meanwhile. Exit status 0: it came out the same. 1: the result is another.
    """
    answer = ask(ctx, lambda client: client.rebuild(name))
    rows = [
        (each.projection, each.position, each.rows, "equal" if each.equal else "DIFFERENT", each.hash_after[:16])
        for each in answer
    ]
    headers = ["projection", "position", "rows", "before and after", "sha256"]
    render.emit(builtins(answer), output, lambda: render.table(headers, rows, empty="none"))
    return 0 if all(each.equal for each in answer) else 1


@projections.command()
@click.argument("name")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="How many at most.")
@at_option
@render.output_option
@click.pass_context
def rows(ctx: click.Context, name: str, limit: int, at: str | None, output: str) -> int:
    """Show the rows of a domain's own projection as they are.

    `get` shows those that have a view of their own.
    """
    from agentplane.cli.views import show_view
    from agentplane.domains.discovery import installed
    from agentplane.domains.views import View
    from agentplane.queries.views import PROJECTION

    known = installed().registry.projections
    if name not in known:
        raise NotFound(f"no domain's projection is named {name[:63]!r}", code="view.unknown", hint=", ".join(known))
    plain = View(plural=PROJECTION + name, singular="row", projection=known[name], columns=())
    show_view(ctx, plain, None, limit, place(at, "--at"), output)
    return 0
