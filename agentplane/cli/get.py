"""`agentplane get|describe|explain`: read models, asked of the query service."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.places import at_option, place
from agentplane.cli.views import describe_view, find_view, show_view, stale_option, where_option
from agentplane.errors import NotFound

if TYPE_CHECKING:
    from agentplane.history.places import Place
    from agentplane.projections.run_view import RunView
    from agentplane.queries.client import QueryClient

Answer = TypeVar("Answer")


def ask(ctx: click.Context, question: "Callable[[QueryClient], Awaitable[Answer]]") -> Answer:
    """Connect, ask one question, disconnect."""
    from agentplane.queries.client import QueryClient

    context = contexts.load_context(contexts.state_dir(ctx))

    async def asked() -> Answer:
        async with contexts.connected(context) as bus:
            return await question(QueryClient(bus, context.tenant))

    return asyncio.run(asked())


def builtins(value: object) -> Any:  # noqa: ANN401 - JSON
    """A struct as JSON data."""
    import msgspec

    return msgspec.to_builtins(value)


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@click.option("--watch", is_flag=True, help="Print again whenever something changed.")
@click.option("--limit", default=50, show_default=True, help="How many runs, newest first.")
@at_option
@where_option
@stale_option
@render.output_option
@click.pass_context
def get(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    /,
    kind: str,
    name: str | None,
    watch: bool,
    limit: int,
    at: str | None,
    output: str,
    **_: object,
) -> int:
    """List runs, executors, read models or resources of any KIND (see `agentplane kinds`), or show one.

    A run's name may be any unambiguous beginning.
    """
    show, then = _shower(kind), place(at)
    if not watch:
        show(ctx, name, limit, then, output)
        return 0
    if then is not None:
        raise click.UsageError("the past does not change: --watch and --at exclude each other")
    before = None
    while True:
        before = _again(before, lambda: show(ctx, name, limit, None, output))


def _shower(kind: str) -> "Callable[[click.Context, str | None, int, Place | None, str], None]":
    known = {"run": _runs, "runs": _runs, "executor": _executors, "executors": _executors}
    if kind in known:
        return known[kind]
    if (view := find_view(kind)) is not None:
        return lambda ctx, name, limit, then, output: show_view(ctx, view, name, limit, then, output)

    def show(ctx: click.Context, name: str | None, limit: int, then: "Place | None", output: str) -> None:
        from agentplane.cli.resources import show_kind

        _only_now(then)
        show_kind(ctx, kind, name, limit, output)

    return show


def _only_now(then: "Place | None") -> None:
    if then is not None:
        raise click.UsageError("--at shows runs and executors; a resource's past is in `agentplane events replay`")


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


def _runs(ctx: click.Context, name: str | None, limit: int, at: "Place | None", output: str) -> None:
    rows: Any = (
        ask(ctx, lambda client: client.runs(limit=limit, at=at)).runs
        if not name
        else (ask(ctx, lambda client: client.run(name, at=at)),)
    )
    table = [
        (row.name, row.state.value, row.bundle, row.executor or "-", _code(row), row.message or "-") for row in rows
    ]
    render.emit(
        builtins(rows[0] if name else rows),
        output,
        lambda: render.table(["run", "state", "bundle", "executor", "exit", "message"], table, empty="no runs yet"),
    )


def _code(row: Any) -> str:  # noqa: ANN401 - RunView or RunSummary
    return "-" if row.exit_code is None else str(row.exit_code)


def _executors(ctx: click.Context, name: str | None, _: int, at: "Place | None", output: str) -> None:
    lines = ask(ctx, lambda client: client.executors(at=at))
    rows = [line.executor for line in lines if name in {None, line.executor.name}]
    if name and not rows:
        raise NotFound(f"no executor {name!r}", code="executor.unknown", hint="`agentplane get executors` lists them")
    others = {line.executor.name: line.other_leases for line in lines}
    table = [
        (
            row.name,
            "reachable" if row.reachable else "unreachable",
            ", ".join(row.facts.backends) if row.facts else "-",
            ("usable" if row.facts.kvm.usable else row.facts.kvm.cause) if row.facts else "-",
            f"{row.facts.vcpus} / {row.facts.memory_mib} MiB" if row.facts else "-",
            len(row.leases) + others[row.name],
        )
        for row in rows
    ]
    render.emit(
        builtins(rows),
        output,
        lambda: render.table(["executor", "state", "backends", "kvm", "vcpus / memory", "runs"], table, empty="none"),
    )


@click.command()
@click.argument("kind")
@click.argument("name")
@at_option
@stale_option
@render.output_option
@click.pass_context
def describe(ctx: click.Context, /, kind: str, name: str, at: str | None, output: str, **_: object) -> int:
    """Everything about one run (timeline, artifacts, evidence) or one resource (spec, status, controllers)."""
    then = place(at)
    if (model := find_view(kind)) is not None:
        describe_view(ctx, model, name, then, output)
        return 0
    if kind not in {"run", "runs"}:
        from agentplane.cli.resources import describe_kind

        _only_now(then)
        describe_kind(ctx, kind, name, output)
        return 0
    view = ask(ctx, lambda client: client.run(name, at=then))
    render.emit(builtins(view), output, lambda: _describe(view))
    return 0


def _describe(view: "RunView") -> None:
    from agentplane.projections.run_view import entries

    facts = {
        "state": view.state.value,
        "message": view.message,
        "bundle": view.bundle,
        "bundle digest": view.pins and view.pins.bundle_digest,
        "lane": view.lane,
        "author": view.author,
        "executor": view.executor and f"{view.executor} (epoch {view.epoch}, {view.backend}, {view.accelerator})",
        "outcome": view.outcome and f"{view.outcome.value}, exit code {view.exit_code}",
        "guest": view.guest and view.guest.spec.path,
        "artifacts in": view.out_dir,
        "replay of": view.replay_of,
        "evidence": ", ".join(f"{kind} {count}" for kind, count in view.evidence.items()),
    }
    render.table([view.name, ""], [(name, value) for name, value in facts.items() if value], empty="")
    click.echo()
    timeline = entries(view.timeline)
    start = timeline[0].recorded_at
    rows = [
        (entry.sequence, f"{(entry.recorded_at - start).total_seconds():.3f} s", entry.type, entry.summary)
        for entry in timeline
    ]
    render.table(["seq", "after", "event", "what"], rows, empty="no events")
    if view.artifacts:
        click.echo()
        files = [(each.path, each.size_bytes, each.sha256[:16]) for each in view.artifacts]
        render.table(["artifact", "bytes", "sha256"], files, empty="")


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
