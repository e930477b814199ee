"""Following one run from its intent to its end, and telling a person about it as it goes.

What is needed only once the intent is on its way is in `run_story`, and imported while control decides.
"""

from typing import Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render
from agentplane.cli.submit import facts_of, first_answer, publish
from agentplane.errors import Refused
from agentplane.events.model import Event
from agentplane.runs.intents import INTENT_REJECTED


async def follow_run(context: contexts.Context, intent: Event, *, wait: bool, output: str) -> int:
    """Publish the intent; report its admission, and with `wait` its end. Returns the exit status."""
    name = intent.stream.name
    async with contexts.connected(context) as bus:
        facts = facts_of(bus, intent)
        await publish(bus, intent)
        from agentplane.cli import run_story
        from agentplane.cli.waiting import leaving

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
            view = await run_story.follow(bus, context.tenant, answer, facts, intent.time)
        return run_story.report(view, output)


def _refused(name: str, data: dict[str, Any], output: str) -> int:
    def people() -> None:
        for finding in data["findings"]:
            render.say(f"  {finding['code']}: {finding['path']}: {finding['message']}")
        render.say(f"refused: {data['message']} [{data['code']}]", style="red")

    render.emit({"run": name, "state": "refused", **data}, output, people)
    return 2
