"""`agentplane schema KIND[.path]`: what a kind's documents look like, from its model."""

from typing import Any

import click

from agentplane.cli import render
from agentplane.cli.naming import complete_kind
from agentplane.errors import NotFound


@click.command()
@click.argument("kind_path", metavar="KIND[.PATH]", required=False, shell_complete=complete_kind)
@click.option("--list", "all_of_them", is_flag=True, help="List everything that has a schema.")
@render.list_option
def schema(kind_path: str | None, all_of_them: bool, output: str) -> int:
    """Document KIND (or an artifact, or a type of event), or the field at PATH in it.

    `-o json` prints the JSON Schema, for editors.

    \b
    agentplane schema Organization
    agentplane schema Organization.owner.email
    agentplane schema RunArtifact -o json
    agentplane schema work_order.created
    agentplane schema Event -o json
    agentplane schema --list
    """  # noqa: D301 - \b is click's
    if all_of_them or kind_path is None:
        if not all_of_them:
            raise click.UsageError("name a kind, or ask for all of them with --list")
        return _list(output)
    document, word, path = _found(kind_path)
    if output != "table" and not path:
        render.emit(document, output, lambda: None)
        return 0
    return _explain(document, [word, *path], output)


def _explain(document: dict[str, Any], path: list[str], output: str) -> int:
    """The field at a path (kind first): what it is, and what is in it."""
    from msgspec import to_builtins

    from agentplane.domains.documentation import explain

    explained = explain(document, tuple(path[1:]))

    def people() -> None:
        limits = f" ({explained.limits})" if explained.limits else ""
        click.echo(render.visible(f"{'.'.join(path)}: {explained.type}{limits}"))
        if explained.description:
            click.echo(render.visible(f"  {explained.description}"))
        rows = [
            (each.name, each.type, "required" if each.required else "", each.limits, each.description)
            for each in explained.fields
        ]
        if rows:
            click.echo()
            render.table(["field", "type", "", "limits", "what it is"], rows, empty="")

    render.emit(to_builtins(explained), output, people)
    return 0


def _list(output: str) -> int:
    """Kinds, types of events and artifacts, with what they are."""
    from agentplane.domains.discovery import installed
    from agentplane.schemas import registry as artifacts

    registry = installed().registry
    rows = [{"name": kind.name, "what": "kind", "description": kind.description} for kind in registry]
    rows.append({"name": "Event", "what": "event", "description": "An event as CloudEvents 1.0 in JSON."})
    rows += [{"name": fact.name, "what": "fact", "description": fact.description} for fact in registry.facts.values()]
    for name in artifacts.names():
        document = artifacts.document(name)
        words = document.get("description") or document.get("title", "")
        rows.append({"name": name, "what": "artifact", "description": words})

    def people() -> None:
        lines = [(row["name"], row["what"], row["description"][:90]) for row in rows]
        render.table(["name", "what", "description"], lines, empty="")

    render.emit(rows, output, people)
    return 0


def _found(kind_path: str) -> tuple[dict[str, Any], str, list[str]]:
    """The schema of a kind, or of the data of a type of event, whose name has dots itself."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.facts import find, json_schema
    from agentplane.schemas import registry as artifacts

    if kind_path in artifacts.names():  # run-artifact.v0.2
        return artifacts.document(kind_path), kind_path, []
    facts = installed().registry.facts
    words = kind_path.split(".")
    known = ".".join(words[:2])
    if words[0] in {each.family for each in facts.values()} and (fact := find(facts, known)) is not None:
        return json_schema(fact), known, words[2:]
    return _document(words[0]), words[0], words[1:]


def _document(word: str) -> dict[str, Any]:
    from agentplane.domains.discovery import installed
    from agentplane.domains.documentation import json_schema
    from agentplane.events.cloudevents import json_schema as event_schema
    from agentplane.schemas import registry as artifacts

    if word.lower() == "event":
        return event_schema()
    try:
        return json_schema(installed().registry.kind(word))
    except NotFound:
        try:
            return artifacts.document(artifacts.for_kind(word))
        except NotFound:
            pass  # nobody means an artifact's schema who misspells a kind
        raise
