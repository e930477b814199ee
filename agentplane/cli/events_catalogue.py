"""`agentplane events types|schema`: the events that may be recorded, and what their data must be."""

import click

from agentplane.cli import render


@click.command()
@click.argument("family", required=False)
@render.output_option
def types(family: str | None, output: str) -> int:
    """List the types of events that may be recorded.

    All that people and agents may record, or those of one FAMILY.
    """
    from agentplane.domains.discovery import installed
    from agentplane.errors import NotFound

    known = installed().registry.facts.values()
    rows = [
        {"type": each.name, "version": each.version, "family": each.family, "description": each.description}
        for each in known
        if family in {None, each.family}
    ]
    if family is not None and not rows:
        hint = f"there are: {', '.join(dict.fromkeys(each.family for each in known))}"
        raise NotFound(f"no family {family[:63]!r}", code="event.type-unknown", hint=hint)
    lines = [(row["type"], row["version"], row["description"]) for row in rows]
    render.emit(rows, output, lambda: render.table(["type", "version", "what happened"], lines, empty="none"))
    return 0


@click.command()
@click.argument("type_", metavar="TYPE")
@render.output_option
@click.pass_context
def schema(ctx: click.Context, type_: str, output: str) -> int:
    """Document the data of events of TYPE.

    `-o json` prints the JSON Schema.
    """
    from agentplane.cli.schema import schema as of_anything
    from agentplane.domains.discovery import installed
    from agentplane.domains.facts import find
    from agentplane.errors import NotFound

    known = ".".join(type_.split(".")[:2])
    if type_.lower() != "event" and find(installed().registry.facts, known) is None:
        hint = "`agentplane events types` lists those that may be recorded"
        raise NotFound(f"no schema of {type_[:80]!r}", code="event.type-unknown", hint=hint)
    return int(ctx.invoke(of_anything, kind_path=type_, output=output))
