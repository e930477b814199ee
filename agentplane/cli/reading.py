"""Documents of a command line as wishes: which files, every document in them, and all that is wrong at once."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agentplane.cli import render
from agentplane.errors import AgentplaneError, Refused

if TYPE_CHECKING:
    from agentplane.documents.model import Document
    from agentplane.domains.specs import Locate, Wish
    from agentplane.events.model import StreamId

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Taken = TypeVar("Taken")
_SUFFIXES = {".json", ".yaml", ".yml"}
_SHOWN = 20


def documents_options(command: Decorated) -> Decorated:
    """Add `-f`, `-d` and `-R`."""
    for decorate in (
        click.option("-R", "--recursive", is_flag=True, help="With -d: of the directories below it, too."),
        click.option(
            "-d",
            "--directory",
            type=click.Path(path_type=Path, file_okay=False),
            help="Every document in this directory.",
        ),
        click.option(
            "-f",
            "--file",
            "files",
            multiple=True,
            type=click.Path(path_type=Path),
            help="JSON or YAML; several: after `---`, as a list or as JSON lines. - is stdin. May be given again.",
        ),
    ):
        command = decorate(command)
    return command


def read_wishes(  # noqa: PLR0917 - as the options are
    tenant: str, kind: str | None, files: Sequence[Path], directory: Path | None, recursive: bool, name: str | None
) -> "list[Wish]":
    """Every document as a wish; without any, what a person at a terminal answers.

    Raises:
        Refused, NotFound: one document cannot be taken; of several refused ones the first one's code.
    """
    from agentplane.domains.discovery import installed
    from agentplane.domains.specs import read_wish

    registry = installed().registry

    def wish(value: dict[str, Any], at: "Locate") -> "tuple[Wish, str]":
        completed = _completed(kind, value, name)
        return read_wish(registry, completed, tenant=tenant, kind=kind, origin=at, name=name), at()

    if not files and directory is None:
        return [wish({}, lambda *_: "the answers")[0]]
    wishes = _each([*files, *_within(directory, recursive=recursive)], wish)
    _refuse_twice(wishes)
    return [each for each, _ in wishes]


def read_streams(
    tenant: str, kind: str | None, files: Sequence[Path], directory: Path | None, recursive: bool
) -> "list[StreamId]":
    """The resources that documents name. Raises as `read_wishes`."""
    from agentplane.domains.discovery import installed
    from agentplane.domains.specs import read_stream

    registry = installed().registry
    paths = [*files, *_within(directory, recursive=recursive)]
    return _each(paths, lambda value, at: read_stream(registry, value, tenant=tenant, kind=kind, origin=at))


def _each(paths: Sequence[Path], take: "Callable[[dict[str, Any], Locate], Taken]") -> "list[Taken]":
    """What every document of the files is taken for; all that is wrong with them at once."""
    from agentplane.documents.edge import read_documents

    problems: list[AgentplaneError] = []
    taken: list[Taken] = []
    for path in paths:
        try:
            documents = read_documents(path)
        except AgentplaneError as error:
            problems.append(error)
            continue
        for document in documents:
            try:
                taken.append(take(document.value, _locate(document)))
            except AgentplaneError as error:
                problems.append(error)
    _raise(problems)
    return taken


def _within(directory: Path | None, *, recursive: bool) -> list[Path]:
    if directory is None:
        return []
    if not directory.is_dir():
        raise Refused("no such directory", code="document.missing", where=str(directory))
    pattern = "**/*" if recursive else "*"
    # what only looks like a document, such as a link that leads nowhere, is told and not passed over
    paths = (path for path in directory.glob(pattern) if path.suffix.lower() in _SUFFIXES and not path.is_dir())
    shown = sorted(
        path for path in paths if not any(part.startswith(".") for part in path.relative_to(directory).parts)
    )
    if not shown:
        hint = None if recursive else "-R looks into the directories below it, too"
        raise Refused("no .json, .yaml or .yml file in it", code="document.missing", where=str(directory), hint=hint)
    return shown


def _locate(document: "Document") -> "Locate":
    """Where the value at a path in a document stands: file, line and column."""
    from agentplane.documents.model import pointer
    from agentplane.documents.positions import Positions

    positions = Positions(document)

    def at(*path: str | int) -> str:
        position = positions.find(pointer(*path))
        return document.origin if position is None else f"{document.origin}:{position.line}:{position.column}"

    return at


def _raise(problems: list[AgentplaneError]) -> None:
    if not problems:
        return
    first = problems[0]
    if len(problems) == 1:
        raise first
    lines = [_told(error) for error in problems[:_SHOWN]]
    lines += [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    message = "\n  ".join([f"{len(problems)} documents cannot be taken; nothing was done", *lines])
    raise Refused(message, code=first.code, hint=first.hint)


def _told(error: AgentplaneError) -> str:
    """One of several problems: its code at the end of its first line, what it lists below it."""
    head, newline, rest = str(error).partition("\n")
    return f"{head} [{error.code}]" + newline + rest.replace("\n", "\n  ").replace("  ", "    ", 1)


def _refuse_twice(wishes: "Sequence[tuple[Wish, str]]") -> None:
    """The same resource in two documents: which one is meant?"""
    seen: dict[StreamId, str] = {}
    for wish, place in wishes:
        if wish.stream in seen:
            stream = wish.stream
            message = f"{stream.kind} {stream.namespace}/{stream.name} is in {seen[stream]}, too"
            raise Refused(message, code="resource.twice", where=place, hint="which one is meant?")
        seen[wish.stream] = place


def _completed(kind: str | None, value: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The document, with what a person at a terminal adds to it."""
    from agentplane.cli.prompting import complete
    from agentplane.domains.discovery import installed

    word = value.get("kind", kind)
    if not sys.stdin.isatty():
        if not value:
            raise Refused(
                "there is no document", code="document.missing", hint="name one with -f, or run it in a terminal"
            )
        return value
    if not isinstance(word, str):
        raise Refused("say which KIND", code="resource.kind", hint="agentplane kinds")
    known = installed().registry.documented(word)
    try:
        return complete(known, value, name, lambda words: str(click.prompt(words, err=True)), render.say)
    except click.Abort:
        render.say("\nstopped; nothing was handed in")
        raise
