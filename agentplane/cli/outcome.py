"""Following one run from its intent to its end, and telling a person about it as it goes.

The run's facts are folded here as the projector folds them. NATS may lose some, so the read model is asked as well.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
import msgspec

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.submit import facts_of, first_answer, publish
from agentplane.cli.waiting import leaving
from agentplane.errors import Refused
from agentplane.events.model import Event, StoredEvent
from agentplane.projections.run_view import RunView, TimelineEntry, entries
from agentplane.projections.runs import apply
from agentplane.queries.client import QueryClient
from agentplane.runs.facts import WAITING
from agentplane.runs.intents import INTENT_REJECTED
from agentplane.runs.states import TERMINAL, RunState

if TYPE_CHECKING:
    from agentplane.bus.nats import NatsBus

ASK_EVERY_S = 2.0
SEAL = "RunSeal"


async def follow_run(context: contexts.Context, intent: Event, *, wait: bool, output: str) -> int:
    """Publish the intent; report its admission, and with `wait` its end. Returns the exit status."""
    name = intent.stream.name
    async with contexts.connected(context) as bus:
        facts = facts_of(bus, intent)
        await publish(bus, intent)
        with leaving(f"{name} goes on without you: agentplane get runs {name}, agentplane cancel {name}"):
            answer = await first_answer(facts, name)
            if answer.event.type == INTENT_REJECTED:
                raise Refused(answer.event.data["message"], code=answer.event.data["code"])
            if answer.event.type == "run.refused":
                return _refused(name, answer.event.data, output)
            if not wait:
                render.emit({"run": name}, output, lambda: click.echo(name))
                return 0
            render.say(f"run {name}")
            view = await _end(bus, context.tenant, answer, facts, intent.time)
        return _report(view, output)


def _refused(name: str, data: dict[str, Any], output: str) -> int:
    def people() -> None:
        for finding in data["findings"]:
            render.say(f"  {finding['code']}: {finding['path']}: {finding['message']}")
        render.say(f"refused: {data['message']} [{data['code']}]", style="red")

    render.emit({"run": name, "state": "refused", **data}, output, people)
    return 2


async def _end(
    bus: "NatsBus", tenant: str, answer: StoredEvent, facts: AsyncIterator[StoredEvent], since: datetime
) -> RunView:
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
        if over(view):
            break
    return view


def _told(view: RunView | None, stored: StoredEvent, since: datetime) -> RunView:
    changed = apply(view, stored)
    assert changed is not None  # noqa: S101 - these are the facts of a run
    tell(entries(changed.timeline)[-1], since)
    if stored.event.type == WAITING:
        render.say(f"             why, and what would change that: agentplane explain {changed.name}")
    return changed


def tell(entry: TimelineEntry, since: datetime) -> None:
    """One line of a run's story, for people."""
    elapsed_s = (entry.recorded_at - since).total_seconds()
    render.say(f"  {elapsed_s:7.2f} s  {entry.type:<18} {entry.summary}")


def over(view: RunView) -> bool:
    """Whether nothing more will come: it has ended, and the evidence of its attempt, if there was one, is sealed."""
    return view.state in TERMINAL and (view.executor is None or view.evidence.get(SEAL, 0) > 0)


async def _ask(client: QueryClient, name: str) -> RunView:
    ended_before = False
    while True:
        await asyncio.sleep(ASK_EVERY_S)
        view = await client.run(name)
        # a lost attempt has no seal: what is still missing after another round will not come soon
        if over(view) or ended_before:
            return view
        ended_before = view.state in TERMINAL


def _report(view: RunView, output: str) -> int:
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
