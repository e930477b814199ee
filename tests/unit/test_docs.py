"""Documents against what is there: links lead somewhere, commands are ours, decisions and libraries have reasons."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from agentplane.cli.main import cli, main
from tests.documents import ROOT, anchors, blocks, codes, commands, documents, links, mentions, paths

DOCUMENTS = documents()
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
CALLS = sorted(
    {(document.relative_to(ROOT).as_posix(), *words) for document in DOCUMENTS for words in commands(document)}
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_its_links_lead_somewhere(document: Path) -> None:
    for link in links(document):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_the_paths_it_names_are_there(document: Path) -> None:
    assert [path for path in paths(document) if not (ROOT / path).exists()] == []


def test_the_codes_that_tables_explain_are_ours() -> None:
    explained = {(name(document), code) for document in DOCUMENTS for code in codes(document)}
    ours = {code for place, code in explained if place == "docs/errors.md"}
    assert {place for place, _ in explained} >= {"docs/bundles.md", "docs/events.md", "docs/operations.md"}
    assert {(place, code) for place, code in explained if code not in ours} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_its_fences_and_diagrams_are_closed(document: Path) -> None:
    assert document.read_text().count("```") % 2 == 0
    for block in blocks(document):
        if block.language == "mermaid":
            assert re.match(r"(flowchart|sequenceDiagram|stateDiagram-v2)\b", block.text)
            assert len(re.findall(r"^ *subgraph\b", block.text, re.MULTILINE)) == len(
                re.findall(r"^ *end$", block.text, re.MULTILINE)
            )
            for opened, closed in ("[]", "()", "{}"):
                assert block.text.count(opened) == block.text.count(closed)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_its_commands_are_ours(call: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed by the command line itself, down to the last option, and not carried out."""
    # the files and directories of those who follow are not here
    monkeypatch.setattr(click.Path, "convert", lambda path, value, *_: path.coerce_path_result(value))
    reached: list[str] = []
    monkeypatch.setattr(click.Command, "invoke", lambda _, context: reached.append(context.command_path))
    assert main(list(call[1:])) == 0
    assert len(reached) > 1


def test_what_its_commands_read_is_there() -> None:
    ours = ("bundles/", "docs/", "examples/")
    assert [call for call in CALLS for word in call[1:] if word.startswith(ours) and not (ROOT / word).exists()] == []


def test_commands_are_found() -> None:
    assert {call[0] for call in CALLS} >= {"README.md", "docs/deploy.md", "docs/events.md", "docs/operations.md"}


def unknown(mention: str) -> str | None:
    """The first word that names no command where one has to stand; `a|b` names two."""
    command: click.Command = cli
    for word in mention.split():
        if not isinstance(command, click.Group) or word.startswith(("-", "…", "{", "[", "FILE")):
            return None
        context = click.Context(command)
        found = [command.get_command(context, choice.strip(",.")) for choice in word.split("|")]
        if None in found:
            return word
        first = found[0]
        assert first is not None
        command = first
    return None


def test_commands_that_are_mentioned_exist() -> None:
    """In sentences of documents, and in hints and docstrings of the code."""
    code = [path for tree in ("agentplane", "services") for path in (ROOT / tree).glob("**/*.py")]
    found = {(name(path), mention) for path in [*DOCUMENTS, *code] for mention in mentions(path.read_text())}
    assert len(found) > 100
    assert {place: word for place in found if (word := unknown(place[1]))} == {}


def every_command(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        assert command is not None
        yield " ".join([*path, word]), command
        if isinstance(command, click.Group):
            yield from every_command(command, *path, word)


def test_help_lines_are_whole() -> None:
    """One line of 80 columns per command: what is longer is cut off by click, in the middle of a thought."""
    lines = {path: command.get_short_help_str(limit=60) for path, command in every_command(cli)}
    # the first level has lines of its own, in agentplane.cli.main
    assert {path: line for path, line in lines.items() if " " in path and (not line or line.endswith("..."))} == {}


def test_every_option_has_help() -> None:
    said = {
        (path, option.name): option.help
        for path, command in every_command(cli)
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    }
    assert {key for key, words in said.items() if not words} == set()


def test_decisions_are_numbered_and_whole() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    for number, path in enumerate(DECISIONS, 1):
        text = path.read_text()
        assert text.startswith(f"# {number}. ")
        places = [text.index(f"**{part}.**") for part in ("Context", "Options", "Outcome", "Cost")]
        assert places == sorted(places)


def test_every_library_has_a_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [entry for group in project["optional-dependencies"].values() for entry in group]
    names = {re.split(r"[><=\[]", entry)[0] for entry in wanted}
    given = (ROOT / "docs" / "adr" / "0003-libraries.md").read_text()
    assert {library for library in names if not re.search(rf"\b{re.escape(library)}\b", given)} == set()
