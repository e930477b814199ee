"""`agentplane get|describe|explain`: read models, asked of the query service."""

from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import render, shown
from agentplane.cli.asking import ask, builtins
from agentplane.cli.naming import Named, named, run_name, things_argument
from agentplane.cli.notices import heard
from agentplane.cli.places import at_option, place
from agentplane.cli.views import find_rows, find_view, stale_option, watch_rows, where_option

if TYPE_CHECKING:
    from agentplane.cli.shelves import Asked
    from agentplane.domains.views import View
    from agentplane.history.places import Place
    from agentplane.projections.run_view import RunView


@click.command()
@things_argument(required=True)
@click.option("-l", "--selector", default="", help="Labels: key=value, !=, in (a,b), notin (a,b), key, !key; by comma.")
@click.option("-n", "--namespace", default="default", show_default=True, help="Whose things; kinds without any: all.")
@click.option("-A", "--all-namespaces", is_flag=True, help="The things of all namespaces.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="How many at most.")
@click.option("--continue", "after", default="", metavar="TOKEN", help="Where a page ended, as it said.")
@click.option("--watch", is_flag=True, help="Print what is new or has changed, until stopped.")
@at_option
@where_option
@stale_option
@render.names_option
@click.pass_context
def get(ctx: click.Context, /, things: tuple[str, ...], output: str, **given: Any) -> int:  # noqa: ANN401 - as options
    """List the things of a KIND (see `agentplane kinds`), or show some by name; read models of domains as well.

    Resources come in order of namespace and name, runs newest first; a run's name may be any unambiguous beginning. A
    NAME may say its namespace: NAMESPACE/NAME.
    """
    wanted, then = named(things), place(given["at"], "--at")
    if given["watch"] and then is not None:
        raise click.UsageError("the past does not change: --watch and --at exclude each other")
    if given["watch"] and len(wanted) > 1:
        raise click.UsageError("--watch looks at one kind")
    if given["watch"]:
        return _watch(ctx, wanted[0], given, output)
    parts = [_part(ctx, each, given, then) for each in wanted]
    shown.show(parts, output, single=_single(wanted))
    return 0


def _part(ctx: click.Context, wanted: Named, given: dict[str, Any], then: "Place | None") -> shown.Shown:
    if (view := _view(wanted.word, given)) is not None:
        return find_rows(ctx, view, wanted.names, given["limit"], then)
    from agentplane.cli import listing

    return listing.find(ctx, wanted, _things(given, then))


def _watch(ctx: click.Context, wanted: Named, given: dict[str, Any], output: str) -> int:
    if (view := _view(wanted.word, given)) is not None:
        return watch_rows(ctx, view, wanted.names, given["limit"], output)
    from agentplane.cli import listing

    return listing.watch(ctx, wanted, _things(given, None), output)


def _view(word: str, given: dict[str, Any]) -> "View | None":
    """The view of that name, if there is one. Raises click.UsageError: an option is for the other sort of thing."""
    view = find_view(word)
    if view is not None and (given.get("selector") or given.get("after")):
        raise click.UsageError("a read model is filtered by --where, and has neither labels nor --continue")
    if view is None and given.get("where"):
        raise click.UsageError("--where is for read models; resources are selected by their labels: -l")
    return view


def _things(given: dict[str, Any], then: "Place | None") -> "Asked":
    from agentplane.cli.shelves import Asked

    namespace = None if given["all_namespaces"] else given["namespace"]
    return Asked(namespace, given["selector"], given["after"], given["limit"], then)


def _single(wanted: tuple[Named, ...]) -> bool:
    return len(wanted) == 1 and len(wanted[0].names) == 1


@click.command()
@things_argument(required=True)
@click.option("-n", "--namespace", default="default", show_default=True, help="Whose thing it is.")
@at_option
@stale_option
@render.output_option
@click.pass_context
def describe(
    ctx: click.Context, /, things: tuple[str, ...], namespace: str, at: str | None, output: str, **_: object
) -> int:
    """Everything about things: of a run its timeline, artifacts and evidence, of a resource its controllers."""
    wanted, then = named(things), place(at, "--at")
    if not all(each.names for each in wanted):
        raise click.UsageError(f"say which one: {wanted[0].word} NAME, or {wanted[0].word}/NAME")
    parts = [_whole(ctx, each, namespace, then) for each in wanted]
    shown.describe(parts, output, single=_single(wanted))
    return 0


def _whole(ctx: click.Context, wanted: Named, namespace: str, then: "Place | None") -> shown.Shown:
    if (view := find_view(wanted.word)) is not None:
        return find_rows(ctx, view, wanted.names, 1, then, whole=True)
    from agentplane.cli import listing
    from agentplane.cli.shelves import Asked

    return listing.find(ctx, wanted, Asked(namespace, "", "", 1, then))


@click.command()
@click.argument("name", metavar="RUN", type=run_name)
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
        **heard(ctx),
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
