"""A run's facts, folded as the projector folds them and told to a person as they come; at last how it ended.

NATS may lose some, so the read model is asked as well.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING

import click
import msgspec

from agentplane.cli import render
from agentplane.events.model import StoredEvent
from agentplane.projections.run_view import RunView, TimelineEntry, entries
from agentplane.projections.runs import apply
from agentplane.queries.client import QueryClient
from agentplane.runs.facts import WAITING
from agentplane.runs.states import TERMINAL, RunState

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

ASK_EVERY_S = 2.0
SEAL = "RunSeal"


async def follow(
    bus: "NatsBus", tenant: str, answer: StoredEvent, facts: AsyncIterator[StoredEvent], since: datetime
) -> RunView:
    """Tell every fact from the first `answer` on; returns the run once nothing more will come."""
    listener = asyncio.ensure_future(_fold(answer, facts, since))
    asker = asyncio.ensure_future(_ask(QueryClient(bus, tenant), answer.event.stream.name))
    done, pending = await asyncio.wait({listener, asker}, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()
    return done.pop().result()


async def _fold(answer: StoredEvent, facts: AsyncIterator[StoredEvent], since: datetime) -> RunView:
    view = _told(None, answer, since)
    async for stored in facts:
        view = _told(view, stored, since)
        if _over(view):
            break
    return view


def _told(view: RunView | None, stored: StoredEvent, since: datetime) -> RunView:
    changed = apply(view, stored)
    assert changed is not None  # noqa: S101 - these are the facts of a run
    _tell(entries(changed.timeline)[-1], since)
    if stored.event.type == WAITING:
        render.say(f"             why, and what would change that: agentplane explain {changed.name}")
    return changed


def _tell(entry: TimelineEntry, since: datetime) -> None:
    """One line of a run's story, for people."""
    elapsed_s = (entry.recorded_at - since).total_seconds()
    render.say(f"  {elapsed_s:7.2f} s  {entry.type:<18} {entry.summary}")


def _over(view: RunView) -> bool:
    """Whether nothing more will come: it has ended, and the evidence of its attempt, if there was one, is sealed."""
    return view.state in TERMINAL and (view.executor is None or view.evidence.get(SEAL, 0) > 0)


async def _ask(client: QueryClient, name: str) -> RunView:
    ended_before = False
    while True:
        await asyncio.sleep(ASK_EVERY_S)
        view = await client.run(name)
        # a lost attempt has no seal: what is still missing after another round will not come soon
        if _over(view) or ended_before:
            return view
        ended_before = view.state in TERMINAL


def report(view: RunView, output: str) -> int:
    """Print how it ended; returns the exit status."""
    ok = view.state is RunState.SUCCEEDED
    matches = view.replay.match if view.replay else None

    def people() -> None:
        render.say(f"{view.state}: {view.message or f'exit code {view.exit_code}'}", style="green" if ok else "red")
        if view.replay:
            render.say(
                f"replay of {view.replay.of}: {'MATCH' if matches else 'DIVERGED'}", style="green" if matches else "red"
            )
            for difference in view.replay.differences:
                render.say(f"  {difference}")
        click.echo(view.name)

    render.emit(msgspec.to_builtins(view), output, people)
    return 0 if (ok if matches is None else matches) else 1
