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
    """Print an aligned table without borders. `empty` is said on stderr when there are no rows.

    In a narrow terminal cells are folded and columns in which nothing stands are left out; no cell becomes narrower
    than WHOLE, since a number or a state in pieces is worse than a line that the terminal wraps.
    """
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    if not cells:
        say(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # into a pipe nothing is folded: the reader may be grep
    width = Console().width if sys.stdout.isatty() else WIDE
    columns = _fitting([[visible(header), *column] for header, *column in zip(headers, *cells, strict=True)], width)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column, letters in zip(columns, widths := _widths(columns, width), strict=True):
        grid.add_column(column[0], overflow="fold", width=letters)
    for row in zip(*(column[1:] for column in columns), strict=True):
        grid.add_row(*[Text(cell, style=STYLES.get(cell, "")) for cell in row])
    width = max(width, sum(widths) + GAP * len(widths))
    Console(highlight=False, width=width).print(grid)


def _fitting(columns: list[list[str]], width: int) -> list[list[str]]:
    if sum(_widest(column) + GAP for column in columns) - GAP <= width:
        return columns
    return [column for index, column in enumerate(columns) if index == 0 or set(column[1:]) - {"-", ""}]


def _widths(columns: list[list[str]], width: int) -> list[int]:
    """Cells of each column: the widest give way first. The first one is what a person copies: it stays in one piece."""
    widths = [_widest(column) for column in columns]
    longest = [_widest(word for cell in column for word in cell.split()) for column in columns]
    floors = [widths[0], *(min(word, WHOLE) for word in longest[1:])]
    for _ in range(sum(widths) + GAP * (len(widths) - 1) - width):
        room, index = max(
            (had - floor and had, place) for place, (had, floor) in enumerate(zip(widths, floors, strict=True))
        )
        if not room:
            break
        widths[index] -= 1
    return widths


def _widest(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max((cell_len(line) for text in texts for line in text.split("\n")), default=0)


def visible(text: str) -> str:
    """Text that moves no cursor and turns no letters round: what others wrote may not command a person's terminal."""
    return _COMMANDS.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


# control characters but for the end of a line, and what changes the direction of writing
_COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
WIDE = 400
WHOLE = 8  # a word of up to so many letters is not folded
GAP = 3  # between columns
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
