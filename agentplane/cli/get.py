"""`agentplane get|describe|explain`: read models, asked of the query service."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import render
from agentplane.cli.asking import ask, builtins
from agentplane.cli.places import at_option, place
from agentplane.cli.views import describe_view, find_view, show_view, stale_option, where_option

if TYPE_CHECKING:
    from agentplane.domains.views import View
    from agentplane.history.places import Place
    from agentplane.projections.run_view import RunView


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option("-l", "--selector", default="", help="Labels: key=value, !=, in (a,b), notin (a,b), key, !key; by comma.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Whose things; kinds without any: all.")
@click.option("-A", "--all-namespaces", is_flag=True, help="The things of all namespaces.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@click.option("--continue", "after", default="", metavar="TOKEN", help="Where a page ended, as it said.")
@click.option("--watch", is_flag=True, help="Print what is new or has changed, until stopped.")
@at_option
@where_option
@stale_option
@render.output_option
@click.pass_context
def get(ctx: click.Context, /, kind: str, name: str | None, output: str, **given: Any) -> int:  # noqa: ANN401
    """List the things of a KIND (see `agentplane kinds`), or show one; read models of domains as well.

    Resources come in order of namespace and name, runs newest first; a run's name may be any unambiguous beginning.
    """
    then = place(given["at"])
    if given["watch"] and then is not None:
        raise click.UsageError("the past does not change: --watch and --at exclude each other")
    if (view := find_view(kind)) is not None:
        _show_view(ctx, view, name, given, then, output)
        return 0
    from agentplane.cli import listing
    from agentplane.cli.shelves import Asked

    namespace = None if given["all_namespaces"] else given["namespace"]
    asked = Asked(namespace, given["selector"], given["after"], given["limit"], then)
    if given["watch"]:
        return listing.watch(ctx, kind, name, asked, output)
    listing.show(ctx, kind, name, asked, output)
    return 0


def _show_view(  # noqa: PLR0917 - one call
    ctx: click.Context,
    view: "View",
    name: str | None,
    given: dict[str, Any],
    at: "Place | None",
    output: str,
) -> None:
    if given["selector"] or given["after"]:
        raise click.UsageError("a read model is filtered by --where, and has no labels")
    if not given["watch"]:
        show_view(ctx, view, name, given["limit"], at, output)
        return
    before = None
    while True:
        before = _again(before, lambda: show_view(ctx, view, name, given["limit"], None, output))


def _again(before: str | None, show: Callable[[], None]) -> str:
    import contextlib
    import io
    import time

    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        show()
    if (now := buffer.getvalue()) != before:
        click.echo(now, nl=False)
    time.sleep(1.0)
    return now


@click.command()
@click.argument("kind")
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True, help="Whose thing it is.")
@at_option
@stale_option
@render.output_option
@click.pass_context
def describe(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context, /, kind: str, name: str, namespace: str, at: str | None, output: str, **_: object
) -> int:
    """Everything about one thing: of a run its timeline, artifacts and evidence, of a resource its controllers."""
    then = place(at)
    if (view := find_view(kind)) is not None:
        describe_view(ctx, view, name, then, output)
        return 0
    from agentplane.cli import listing

    listing.describe(ctx, kind, name, namespace, then, output)
    return 0


@click.command()
@click.argument("name", metavar="RUN")
@render.output_option
@click.pass_context
def explain(ctx: click.Context, name: str, output: str) -> int:
    """Why RUN was placed where it was, or why it waits: every executor, its reasons, and what would change them."""
    view = ask(ctx, lambda client: client.run(name))
    answer = {
        "run": view.name,
        "state": view.state.value,
        "chosen": view.executor,
        "message": view.message,
        "table": builtins(view.placement),
    }
    render.emit(answer, output, lambda: _explain(view))
    return 0


def _explain(view: "RunView") -> None:
    render.say(f"{view.name}: {view.state.value}" + (f": {view.message}" if view.message else ""))
    rows = []
    for check in view.placement:
        verdict = "chosen" if check.executor == view.executor else "yes" if check.feasible else "no"
        score = "-" if check.score is None else check.score
        rows.append((check.executor, verdict, score, "\n".join(check.reasons) or "-", "\n".join(check.remedies) or "-"))
    headers = ["executor", "can run it", "score", "why not", "what would change that"]
    render.table(headers, rows, empty="no executor is in the inventory")
