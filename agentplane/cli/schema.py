"""`agentplane schema KIND[.path]`: what a kind's documents look like, from its model."""

from typing import Any

import click

from agentplane.cli import render
from agentplane.errors import NotFound


@click.command()
@click.argument("kind_path", metavar="KIND[.PATH]")
@render.output_option
def schema(kind_path: str, output: str) -> int:
    """Document KIND, or the field at PATH in it; `-o json` prints the JSON Schema, for editors.

    \b
    agentplane schema Organization
    agentplane schema Organization.owner.email
    agentplane schema RunArtifact -o json
    """  # noqa: D301 - \b is click's
    word, *path = kind_path.split(".")
    document = _document(word)
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
