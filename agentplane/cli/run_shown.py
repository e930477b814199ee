"""A run in words and tables, for people."""

from typing import TYPE_CHECKING

import click

from agentplane.cli import render

if TYPE_CHECKING:
    from agentplane.projections.run_view import RunView


def describe_run(view: "RunView") -> None:
    """A run's state, timeline and artifacts."""
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
