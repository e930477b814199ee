"""What our documents tell people: fenced blocks, links, and every call of `agentplane`, as tests need them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(?:#|//) ([\w.-]+\.(?:nix|json))\n")
_LINK = re.compile(r"\[[^\]\n]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_INLINE = re.compile(r"`agentplane ([^`\n]+)`")
_PATH = re.compile(r"`((?:agentplane|docs|modules|scripts|services|tests|vm)/[\w./{},-]+)`")
# where a call ends: at a redirection, another command, or a remark beside it
_BEYOND = re.compile(r" [>|] | {2,}")


class Block(NamedTuple):
    """A fenced block. `file`: the name that its first line gives it."""

    language: str
    file: str | None
    text: str


def documents() -> tuple[Path, ...]:
    """Every document of this repository that people read."""
    return tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("[a-z]*/README.md")]))


def blocks(document: Path) -> tuple[Block, ...]:
    """Its fenced blocks, in order."""
    return tuple(_block(language, text) for language, text in _BLOCK.findall(document.read_text()))


def _block(language: str, text: str) -> Block:
    named = _NAMED.match(text)
    # JSON knows no comments
    body = text[named.end() :] if named and language == "json" else text
    return Block(language, named[1] if named else None, body)


def links(document: Path) -> list[str]:
    """What it points to, outside of fenced blocks."""
    return _LINK.findall(_BLOCK.sub("", document.read_text()))


def paths(document: Path) -> list[str]:
    """Every path of this repository that it names within a sentence; `{a,b}` names two."""
    found = []
    for path in _PATH.findall(document.read_text()):
        before, brace, rest = path.partition("{")
        within, _, after = rest.partition("}")
        found += [before + each + after for each in within.split(",")] if brace else [path]
    return found


def codes(document: Path) -> set[str]:
    """Every error code in a column `code` of its tables; what is called an event there is none."""
    found: set[str] = set()
    column = None
    for line in document.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if column is None and "code" in cells:
            column = cells.index("code")
        elif not cells:
            column = None
        elif column is not None:
            found |= set(re.findall(r"(?<!event )`([a-z-]+(?:\.[a-z0-9-]+)+)`", cells[column]))
    return found


def anchors(document: Path) -> set[str]:
    """Its headings, as GitHub names them in links."""
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in _HEADING.findall(document.read_text())
    }


def commands(document: Path) -> Iterator[list[str]]:
    """Every call of `agentplane` that it shows on a line of its own, as the call's arguments."""
    fenced = [
        line for block in blocks(document) if block.language in {"sh", "console"} for line in block.text.splitlines()
    ]
    indented = re.findall(r"^ {4}(.+)$", _BLOCK.sub("", document.read_text()), re.MULTILINE)
    for line in fenced + indented:
        words = _words(line.strip().removeprefix("$ "))
        if words[:1] == ["agentplane"]:
            yield words[1:]


def _words(line: str) -> list[str]:
    line = line.removeprefix("sudo ")
    if not line.startswith("agentplane "):
        return []
    return shlex.split(_BEYOND.split(line)[0], comments=True)


def mentions(text: str) -> set[str]:
    """Every `agentplane …` within a sentence, without its first word."""
    return set(_INLINE.findall(text))
