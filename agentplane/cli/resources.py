"""One resource of any kind for people: all that is known of it."""

from typing import Any

import click

from agentplane.cli import render
from agentplane.cli.shelves import flat


def describe_document(shown: dict[str, Any]) -> None:
    """Metadata, spec, status and controllers of a resource's document."""
    controllers = shown["status"].pop("controllers")
    parts = (("", shown["metadata"]), ("spec", shown["spec"]), ("status", shown["status"]))
    rows = [row for part, fields in parts for row in flat(part, fields)]
    render.table([f"{shown['kind']} {shown['metadata']['name']}", ""], rows, empty="")
    click.echo()
    lines = [
        (
            f"{name}@{each['version']}",
            each["state"],
            each["generation"],
            each["requeueAt"] or "-",
            each["message"] or "-",
        )
        for name, each in controllers.items()
    ]
    render.table(["controller", "state", "generation", "looks again", "message"], lines, empty="no controller yet")
