"""`agentplane events list`: the log as it is."""

import click

from agentplane.cli import render
from agentplane.cli.get import ask


@click.group()
def events() -> None:
    """The log of everything that happened, in the order in which it was committed."""


@events.command("list")
@click.option("--after", default=0, show_default=True, help="Only sequence numbers greater than this.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@click.option("--kind", help="Only resources of this kind, such as Run.")
@click.option("--name", help="Only this resource.")
@click.option("--type", "type_glob", help="Only event types that match, such as 'run.*'.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "jsonl", "yaml"]), default="table")
@click.pass_context
def list_events(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context, after: int, limit: int, kind: str | None, name: str | None, type_glob: str | None, output: str
) -> int:
    """List events, as a table or as CloudEvents."""
    import orjson

    from agentplane.events.cloudevents import encode

    found, _ = ask(
        ctx, lambda client: client.events(after=after, limit=limit, kind=kind, name=name, type_glob=type_glob)
    )
    documents = [orjson.loads(encode(stored)) for stored in found]
    if output == "jsonl":
        for document in documents:
            click.echo(orjson.dumps(document).decode())
        return 0
    rows = [
        (int(each["sequence"]), each["recordedtime"], each["type"], f"{each['kind']}/{each['name']}", each["actor"])
        for each in documents
    ]
    render.emit(
        documents,
        output,
        lambda: render.table(["seq", "recorded", "type", "resource", "actor"], rows, empty="no such events"),
    )
    return 0
