"""`agentplane schema KIND[.path]`: what a kind's documents look like, from its model."""

from typing import Any

import click

from agentplane.cli import render
from agentplane.errors import NotFound


@click.command()
@click.argument("kind_path", metavar="KIND[.PATH]")
@render.output_option
def schema(kind_path: str, output: str) -> int:
    """Document KIND (or a type of event), or the field at PATH in it; `-o json` prints the JSON Schema, for editors.

    \b
    agentplane schema Organization
    agentplane schema Organization.owner.email
    agentplane schema RunArtifact -o json
    agentplane schema work_order.created
    """  # noqa: D301 - \b is click's
    document, word, path = _found(kind_path)
    if output != "table" and not path:
        render.emit(document, output, lambda: None)
        return 0
    from msgspec import to_builtins

    from agentplane.domains.documentation import explain

    explained = explain(document, tuple(path))

    def people() -> None:
        limits = f" ({explained.limits})" if explained.limits else ""
        render.say(f"{'.'.join([word, *path])}: {explained.type}{limits}")
        if explained.description:
            render.say(f"  {explained.description}")
        rows = [
            (each.name, each.type, "required" if each.required else "", each.limits, each.description)
            for each in explained.fields
        ]
        if rows:
            render.table(["field", "type", "", "limits", "what it is"], rows, empty="")

    render.emit(to_builtins(explained), output, people)
    return 0


def _found(kind_path: str) -> tuple[dict[str, Any], str, list[str]]:
    """The schema of a kind, or of the data of a type of event, whose name has dots itself."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.facts import find, json_schema

    facts = installed().registry.facts
    words = kind_path.split(".")
    known = ".".join(words[:2])
    if words[0] in {each.family for each in facts.values()} and (fact := find(facts, known)) is not None:
        return json_schema(fact), known, words[2:]
    return _document(words[0]), words[0], words[1:]


def _document(word: str) -> dict[str, Any]:
    from agentplane.domains.discovery import installed
    from agentplane.domains.documentation import json_schema
    from agentplane.schemas import registry as artifacts

    try:
        return json_schema(installed().registry.kind(word))
    except NotFound:
        try:
            return artifacts.document(artifacts.for_kind(word))
        except NotFound:
            pass  # nobody means an artifact's schema who misspells a kind
        raise
