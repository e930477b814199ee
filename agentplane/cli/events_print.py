"""Events on stdout: a table for people, or JSON, JSONL, CloudEvents and the plain form for programs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from agentplane.cli import render
from agentplane.cli.naming import joined

if TYPE_CHECKING:
    from agentplane.events.model import StoredEvent

HEADERS = ["seq", "recorded", "phase", "type", "resource", "actor"]
# jsonl, cloudevents: one CloudEvents object a line; plain: the flat form; json, yaml: one array
OUTPUTS = ["table", "json", "jsonl", "yaml", "cloudevents", "plain"]
LINES = {"jsonl", "cloudevents", "plain"}

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(OUTPUTS),
    default="table",
    is_eager=True,
    callback=render.remember_output,
    help="How to print: jsonl (or cloudevents) has a CloudEvent a line, plain the flat form of VerMAS.",
)


def line(stored: "StoredEvent", output: str) -> bytes:
    """One event as one line: a JSON form of LINES, or a row of words."""
    from agentplane.events.cloudevents import encode
    from agentplane.history.plain import encode_plain

    if output == "plain":
        return encode_plain(stored)
    if output != "table":
        return encode(stored)
    seq, recorded, phase, type_, resource, actor = row(stored)
    words = f"{seq:>7}  {recorded}  {phase:<8}  {type_:<24}  {resource}  {actor}"
    return render.visible(words).encode()


def row(stored: "StoredEvent") -> tuple[str, ...]:
    """The columns of HEADERS."""
    from agentplane.clock import rfc3339

    event, stream = stored.event, stored.event.stream
    resource = joined(stream.kind, stream.name, stream.namespace)
    return (str(stored.sequence), rfc3339(stored.recorded_at), event.phase.value, event.type, resource, event.actor)


def emit(found: "Iterable[StoredEvent]", output: str) -> None:
    """Print events that are all here."""
    import orjson

    from agentplane.events.cloudevents import encode

    if output in LINES:
        for stored in found:
            click.echo(line(stored, output))
        return
    events = tuple(found)
    documents = [orjson.loads(encode(stored)) for stored in events] if output != "table" else []
    render.emit(
        documents, output, lambda: render.table(HEADERS, [row(each) for each in events], empty="no such events")
    )
