"""What docs/deploy.md tells people to write and to type: its fenced blocks, by language, with the files they name."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.nixos.conftest import ROOT

GUIDE = ROOT / "docs" / "deploy.md"
_BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(r"(?:#|//) ([\w.-]+\.(?:nix|json))\n")


class Block(NamedTuple):
    """A fenced block. `file`: the name that its first line gives it."""

    language: str
    file: str | None
    text: str


def blocks() -> tuple[Block, ...]:
    """All of them, in order."""
    return tuple(_block(language, text) for language, text in _BLOCK.findall(GUIDE.read_text()))


def _block(language: str, text: str) -> Block:
    named = _NAMED.match(text)
    # JSON knows no comments
    body = text[named.end() :] if named and language == "json" else text
    return Block(language, named[1] if named else None, body)


def commands() -> Iterator[list[str]]:
    """Every call of `agentplane` that people are told to make, as its arguments."""
    for block in blocks():
        if block.language == "sh":
            for line in block.text.splitlines():
                words = shlex.split(line.partition(" > ")[0], comments=True)
                if words[:1] == ["sudo"]:
                    words = words[1:]
                if words[:1] == ["agentplane"]:
                    yield words[1:]


def write_files(directory: Path) -> None:
    """Write the files that the guide names into a directory."""
    for block in blocks():
        if block.file is not None:
            (directory / block.file).write_text(block.text)
