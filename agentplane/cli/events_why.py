"""`agentplane events why|replay`: what led to an event and what followed, and what each event changed."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import events_print, render
from agentplane.cli.asking import ask, builtins
from agentplane.cli.naming import complete_kind, kind_named
from agentplane.cli.places import place
from agentplane.errors import NotFound, Refused

if TYPE_CHECKING:
    from agentplane.events.model import StoredEvent
    from agentplane.history.causes import Causes
    from agentplane.history.differences import Change
    from agentplane.history.folding import Step
    from agentplane.queries.client import QueryClient
    from agentplane.queries.protocol import EventsList

_VALUE_CHARS = 100


@click.command()
@click.argument("event", metavar="ID|SEQ")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "mermaid", "dot", "json"]),
    default="text",
    is_eager=True,
    callback=render.remember_output,
    help="How to draw it.",
)
@click.pass_context
def why(ctx: click.Context, event: str, output: str) -> int:
    """Show what led to an event, and what followed from it.

    Back to the intent, and on to the last effect.
    """
    from agentplane.history import drawing
    from agentplane.queries.causes import causes

    graph = ask(ctx, lambda client: causes(client, event))
    draw = {"text": drawing.text, "mermaid": drawing.mermaid, "dot": drawing.dot, "json": _json}
    click.echo(draw[output](graph), nl=False)
    return 0


def _json(graph: "Causes") -> str:
    nodes = []
    for id_, stored in graph.events.items():
        seq, recorded, phase, type_, resource, actor = events_print.row(stored)
        cause = stored.event.causation_id
        nodes.append(
            {
                "id": str(id_),
                "sequence": int(seq),
                "recordedAt": recorded,
                "phase": phase,
                "type": type_,
                "resource": resource,
                "actor": actor,
                "cause": cause and str(cause),
                "dangling": id_ in graph.dangling,
            }
        )
    return json.dumps({"of": str(graph.of), "events": nodes}, indent=2) + "\n"


@click.command()
@click.argument("resource", metavar="[KIND/]NAME", shell_complete=complete_kind)
@click.option("-n", "--namespace", help="Its namespace, where there are several of that name; or KIND/NAMESPACE/NAME.")
@click.option("--until", metavar="PLACE", help="Stop here: a sequence number, a span before now or an ISO time.")
@render.output_option
@click.pass_context
def replay(ctx: click.Context, resource: str, namespace: str | None, until: str | None, output: str) -> int:
    """Show what each event of one resource changed.

    Folds it again, event by event. A name alone stands for everything of that name: a work order and its verifications.
    """
    from msgspec.structs import replace

    from agentplane.domains.discovery import installed
    from agentplane.history.folding import steps
    from agentplane.projections.engine import PROJECTIONS
    from agentplane.queries.protocol import EventsList

    kind, slash, name = resource.partition("/")
    if not resource.strip("/") or (slash and not (kind and name)):
        raise Refused(f"{resource!r} is not KIND/NAME", code="events.resource", hint="Run/my-run-0123456789ab")
    named = kind_named(kind)
    kind = named if named != kind else kind[:1].upper() + kind[1:]
    alone = EventsList(namespace=namespace, name=resource, until=place(until, "--until"), limit=1000)
    events = ask(ctx, _events_of(replace(alone, kind=kind, name=name))) if slash else ()
    events = events or ask(ctx, _events_of(alone))  # some names have a slash of their own
    if not events:
        words = f"{kind} {name!r}" if slash else repr(name or resource)
        raise NotFound(f"no {words}", code="events.resource", hint="`agentplane events stats --by kind`")
    found = list(steps({**PROJECTIONS, **installed().registry.projections}, events))
    render.emit([_step(each) for each in found], output, lambda: _tell(found))
    return 0


def _events_of(wish: "EventsList") -> "Callable[[QueryClient], Awaitable[list[StoredEvent]]]":
    """All events of one resource. Raises Refused, code `events.resource`: it is not said which one."""
    from msgspec.structs import replace

    from agentplane.events.origin import is_imported

    async def asked(client: "QueryClient") -> "list[StoredEvent]":
        found = [stored async for stored in client.all_events(wish)]
        namespace, slash, name = str(wish.name).partition("/")
        if not found and slash and wish.namespace is None:  # KIND/NAMESPACE/NAME; some names have a slash of their own
            found = [each async for each in client.all_events(replace(wish, namespace=namespace, name=name))]
        theirs = sorted({each.event.stream.namespace for each in found if not is_imported(each.event.stream)})
        if len(theirs) > 1:
            message = f"{wish.kind} {wish.name} is in several namespaces: {', '.join(theirs)}"
            raise Refused(message, code="events.resource", hint=f"say which one: -n {theirs[-1]}")
        return found

    return asked


def _step(step: "Step") -> dict[str, Any]:
    stored = step.stored
    return {
        "sequence": stored.sequence,
        "id": str(stored.event.id),
        "type": stored.event.type,
        "actor": stored.event.actor,
        "recordedAt": builtins(stored.recorded_at),
        "changes": {name: builtins(changes) for name, changes in step.changes.items()},
    }


def _tell(found: "list[Step]") -> None:
    begun: set[str] = set()
    for step in found:
        click.echo(events_print.line(step.stored, "table").decode().lstrip())
        for name, changes in step.changes.items():
            # a view begins with every field that it has; what is empty then is no news
            told = [each for each in changes if name in begun or each.op != "added" or each.after]
            begun.add(name)
            for change in told:
                click.echo(f"    {name}: {_words(change)}")
            if not told:
                click.echo(f"    {name}: nothing changed")
        if not step.changes:
            click.echo("    no projection folds it")


def _words(change: "Change") -> str:
    if change.op == "added":
        return render.coloured(f"+ {change.path} = {_value(change.after)}", "green")
    if change.op == "removed":
        return render.coloured(f"- {change.path} (was {_value(change.before)})", "red")
    return render.coloured(f"~ {change.path}: {_value(change.before)} → {_value(change.after)}", "yellow")


def _value(value: Any) -> str:  # noqa: ANN401 - JSON
    words = json.dumps(value, ensure_ascii=False)
    return words if len(words) <= _VALUE_CHARS else f"{words[:_VALUE_CHARS]}… ({len(words)} characters)"
