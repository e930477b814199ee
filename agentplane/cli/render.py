"""Answers as json, yaml or a table. Data goes to stdout; colour only where NO_COLOR and the terminal allow it."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def remember_output(ctx: click.Context, param: click.Parameter, value: Any) -> Any:  # noqa: ANN401 - click's
    """A callback of `-o`: `main` must know the form that was asked for when the answer is an error."""
    if value and ctx.get_parameter_source(str(param.name)) is not ParameterSource.DEFAULT:
        ctx.find_root().ensure_object(dict)["output"] = "json" if value is True else value
    return value


def _output_option(*forms: str) -> Callable[[Decorated], Decorated]:
    lines = "; jsonl: an object a line" if "jsonl" in forms else ""
    names = "; name: what other commands take" if "name" in forms else ""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml", *forms]),
        default="table",
        is_eager=True,
        callback=remember_output,
        help=f"How to print the answer{lines}{names}.",
    )


def output_option(command: Decorated) -> Decorated:
    """Add `-o table|json|yaml`."""
    return _output_option()(command)


def list_option(command: Decorated) -> Decorated:
    """Add `-o table|json|yaml|jsonl`, for what answers with a list."""
    return _output_option("jsonl")(command)


def names_option(command: Decorated) -> Decorated:
    """Add `-o table|json|yaml|jsonl|name`, for lists of things that have a name."""
    return _output_option("jsonl", "name")(command)


def emit(
    value: Any,  # noqa: ANN401 - any JSON value
    output: str,
    table: Callable[[], None],
    *,
    names: Iterable[str] = (),
) -> None:
    """Print `value` as JSON, YAML or JSON lines, its `names`, or call `table` to print it for people."""
    if context := click.get_current_context(silent=True):  # an error after an answer is for people only
        context.find_root().ensure_object(dict).pop("output", None)
    if output == "json":
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif output == "jsonl":
        for each in value if isinstance(value, list | tuple) else [value]:
            click.echo(json.dumps(each, ensure_ascii=False))
    elif output == "name":
        for name in names:
            click.echo(name)
    elif output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), nl=False)
    else:
        table()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print an aligned table without borders. `empty` is said on stderr when there are no rows."""
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # into a pipe nothing is folded: the reader may be grep
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, header in enumerate(headers):  # the first column is what a person copies: it stays in one piece
        grid.add_column(header, overflow="fold", no_wrap=index == 0)
    for row in cells:
        grid.add_row(*[Text(cell, style=STYLES.get(cell, "")) for cell in row])
    console.print(grid)


def visible(text: str) -> str:
    """Text that moves no cursor and turns no letters round: what others wrote may not command a person's terminal."""
    return _COMMANDS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


# control characters but for the end of a line, and what changes the direction of writing
_COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
WIDE = 400
STYLES = {
    "succeeded": "green",
    "pass": "green",
    "yes": "green",
    "MATCH": "green",
    "failed": "red",
    "fail": "red",
    "no": "red",
    "refused": "red",
    "quarantined": "red bold",
    "running": "cyan",
    "leased": "cyan",
    "waiting_for_resource": "yellow",
    "waiting_for_human": "yellow",
    "warn": "yellow",
    "skip": "dim",
}


def say(message: str, *, style: str | None = None) -> None:
    """Tell a person something, on stderr."""
    message = visible(message)
    click.echo(coloured(message, style) if style else message, err=True)


def coloured(text: str, colour: str, *, bold: bool = False) -> str:
    """Text in a colour; as it is where NO_COLOR is set (no-color.org). click takes it away where no terminal is."""
    return text if os.environ.get("NO_COLOR") else click.style(text, fg=colour, bold=bold or None)
