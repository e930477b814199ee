"""What is said of a document: findings of one shape for bundles, inventories and what comes after them. Pure."""

from enum import StrEnum
from typing import Any

import msgspec

from agentplane.documents.positions import Positions
from agentplane.runs.model import Wire


class Severity(StrEnum):
    """Whether a finding decides."""

    FAIL = "fail"
    WARN = "warn"


class Finding(Wire, frozen=True, kw_only=True):
    """One thing that is wrong, or will surprise. The message never repeats a value that looks like a secret."""

    code: str  # "bundle.smoke.not-executable"
    severity: Severity
    path: str  # JSON pointer into the document; "" is the document
    message: str
    hint: str | None
    line: int | None = None  # of the path, or its nearest present parent; None without the text
    column: int | None = None


def as_data(findings: tuple[Finding, ...]) -> tuple[dict[str, Any], ...]:
    """Findings as `run.refused` carries them."""
    return tuple(msgspec.to_builtins(finding) for finding in findings)


def located(finding: Finding, positions: Positions) -> Finding:
    """The finding with line and column of its path, where the document has a text."""
    position = positions.find(finding.path)
    if position is None:
        return finding
    return msgspec.structs.replace(finding, line=position.line, column=position.column)
