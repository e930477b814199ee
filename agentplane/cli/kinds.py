"""`agentplane kinds`: what can be applied here."""

from typing import TYPE_CHECKING

import click

from agentplane.cli import render

if TYPE_CHECKING:
    from agentplane.domains.model import Kind


@click.command()
@render.names_option
def kinds(output: str) -> int:
    """List all kinds of resources, by the domain that declares them, and the read models that `get` shows as well."""
    from agentplane.domains.discovery import installed

    found = installed()
    rows = [
        {
            "kind": kind.name,
            "plural": kind.plural,
            "apiVersion": kind.api_version,
            "domain": domain.name,
            "controllers": _controllers(kind),
            "madeBy": kind.made_by or f"agentplane apply {kind.name}",
            "description": kind.description,
        }
        for domain in found.registry.domains
        for kind in domain.kinds
    ]

    def people() -> None:
        lines = [(row["kind"], row["apiVersion"], row["domain"], row["description"]) for row in rows]
        render.table(["kind", "apiVersion", "domain", "what it is"], lines, empty="no domain is installed")
        views = [
            (view.plural, domain.name, view.description) for domain in found.registry.domains for view in domain.views
        ]
        if views:
            click.echo()
            render.table(["read model", "domain", "what it shows"], views, empty="")

    render.emit(rows, output, people, names=[str(row["kind"]) for row in rows])
    for each in found.left_out:
        render.say(f"left out: {each.entry_point}: {each.reason}", style="yellow")
    return 0


def _controllers(kind: "Kind") -> list[str]:
    from agentplane.controllers.versions import version_of

    own = [f"{each.NAME}@{each.VERSION}" for each in kind.controllers]
    return own + [f"{name}@{version_of(name)}" for name in kind.decided_by]
