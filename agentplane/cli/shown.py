"""An answer about things, before it is printed: the same for kinds and for read models."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from agentplane.cli import render
from agentplane.errors import NotFound


class Shown(NamedTuple):
    """Things of one kind or read model.

    `names` are what `-o name` prints, `details` prints one of the documents for people, `more` says how the list goes
    on, `missing` are those that were asked for by name and are not there.
    """

    documents: list[dict[str, Any]]
    names: list[str]
    table: Callable[[], None]
    details: Callable[[dict[str, Any]], None]
    more: str | None
    missing: list[NotFound]


def show(parts: Sequence[Shown], output: str, *, single: bool) -> None:
    """Print lists, one after the other; `single`: one name was asked for, so the answer is one object.

    Raises:
        NotFound: something was not there; what was there is printed.
    """
    _emit(parts, output, single, lambda part: part.table())
    for part in parts:
        if part.more is not None:
            render.say(f"more: {part.more}")
    _complain(parts)


def describe(parts: Sequence[Shown], output: str, *, single: bool) -> None:
    """Print each thing in full. Raises as `show`."""

    def people(part: Shown) -> None:
        for number, document in enumerate(part.documents):
            if number:
                click.echo()
            part.details(document)

    _emit(parts, output, single, people)
    _complain(parts)


def _emit(parts: Sequence[Shown], output: str, single: bool, people: Callable[[Shown], None]) -> None:
    documents = [document for part in parts for document in part.documents]
    if single and not documents:
        return

    def table() -> None:
        for number, part in enumerate(parts):
            if number:
                click.echo()
            people(part)

    names = [name for part in parts for name in part.names]
    render.emit(documents[0] if single else documents, output, table, names=names)


def _complain(parts: Sequence[Shown]) -> None:
    missing = [error for part in parts for error in part.missing]
    if len(missing) > 1:
        words = "; ".join(str(each) for each in missing)
        raise NotFound(f"{len(missing)} are not there: {words}", code=missing[0].code, hint=missing[0].hint)
    if missing:
        raise missing[0]
