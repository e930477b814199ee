"""What docs/deploy.md tells people to write: its fenced blocks, and the files that they name."""

from pathlib import Path

from tests import documents
from tests.documents import ROOT, Block

GUIDE = ROOT / "docs" / "deploy.md"


def blocks() -> tuple[Block, ...]:
    """All of them, in order."""
    return documents.blocks(GUIDE)


def keys_command() -> list[str]:
    """The call of `agentplane keys` that people are told to make, as its arguments."""
    (words,) = [words for words in documents.commands(GUIDE) if words[0] == "keys"]
    return words


def write_files(directory: Path) -> None:
    """Write the files that the guide names into a directory."""
    for block in blocks():
        if block.file is not None:
            (directory / block.file).write_text(block.text)
