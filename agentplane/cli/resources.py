"""Resources of any kind for people: lists with their kind's columns, one with all that is known of it."""

from typing import TYPE_CHECKING, Any

import click

from agentplane.cli import context as contexts
from agentplane.cli import render

if TYPE_CHECKING:
    from agentplane.domains.model import Kind
    from agentplane.domains.resource import Resource


def show_kind(ctx: click.Context, word: str, name: str | None, limit: int, output: str) -> None:
    """List a kind, or show one of it. Raises NotFound."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.resource import document

    kind = installed().registry.kind(word)
    found = ask_resources(ctx, kind, name, limit)
    documents = [document(each) for each in found]
    headers = ["name", *(header for header, _ in kind.columns), "generation"]
    rows = [
        (each.name, *(_at(shown, path) for _, path in kind.columns), each.generation)
        for each, shown in zip(found, documents, strict=True)
    ]
    render.emit(
        documents[0] if name else documents,
        output,
        lambda: render.table(headers, rows, empty=f"no {kind.plural} yet"),
    )


def describe_kind(ctx: click.Context, word: str, name: str, output: str) -> None:
    """Everything about one resource. Raises NotFound."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.resource import document

    (found,) = ask_resources(ctx, installed().registry.kind(word), name, 1)
    shown = document(found)
    render.emit(shown, output, lambda: _describe(shown))


def ask_resources(ctx: click.Context, kind: "Kind", name: str | None, limit: int) -> "tuple[Resource, ...]":
    """One resource by `<name>` or `<namespace>/<name>`, or the first of a kind."""
    import asyncio

    from agentplane.queries.resources import ResourceClient

    context = contexts.load_context(contexts.state_dir(ctx))

    async def asked() -> "tuple[Resource, ...]":
        async with contexts.connected(context) as bus:
            client = ResourceClient(bus, context.tenant)
            if name is None:
                return (await client.page(kind.name, limit=limit)).resources
            namespace, _, bare = name.rpartition("/")
            return (await client.one(kind.name, bare, namespace=namespace or "default"),)

    return asyncio.run(asked())


def _at(document: dict[str, Any], path: str) -> str:
    value: Any = document
    for word in path.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    return "-" if value is None else str(value)


def _describe(shown: dict[str, Any]) -> None:
    controllers = shown["status"].pop("controllers")
    rows = [
        (f"{part}.{name}" if part else name, value)
        for part, fields in (("", shown["metadata"]), ("spec", shown["spec"]), ("status", shown["status"]))
        for name, value in fields.items()
        if value not in (None, {}, [], ())
    ]
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
