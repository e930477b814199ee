"""What the audit knows: documents, findings, mentions. Values only."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["license-text", "license-file", "spdx-tag", "notice", "metadata"]


@dataclass(frozen=True, slots=True)
class Document:
    """A text file; `path` is relative to the tree, with slashes."""

    path: str
    text: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """A licence that is granted here. `line` counts from 1; 0 is the file as a whole."""

    path: str
    line: int
    kind: Kind
    expression: str
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Mention:
    """A line that names the AGPL without granting it."""

    path: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """What one file says."""

    findings: tuple[Finding, ...]
    mentions: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class TreeTotals:
    """How much was looked at. Binary files were not looked into."""

    text_files: int
    binary_files: int
