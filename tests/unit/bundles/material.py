"""Bundles and files for tests."""

import copy
import json
from pathlib import Path
from typing import Any

from agentplane.bundles.findings import ValidationReport
from agentplane.bundles.validate import validate
from agentplane.documents.edge import read_document
from agentplane.documents.model import Document
from agentplane.policy import Policy
from agentplane.runs.model import FileFact

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bundles"
POLICY = Policy()


def fact(path: str, type_: str = "regular", *, executable: bool = False, size_bytes: int = 10) -> FileFact:
    return FileFact(path=path, type=type_, executable=executable, size_bytes=size_bytes)


FILES = (
    fact("guest.nix"),
    fact("smoke.sh", executable=True),
    fact("plain.sh"),
    fact("empty.sh", executable=True, size_bytes=0),
    fact("lib", "directory"),
)


def fixture(name: str) -> Document:
    return read_document(FIXTURES / f"{name}.json")


def judge(name: str, policy: Policy = POLICY) -> ValidationReport:
    return validate(fixture(name), FILES, policy)


def valid(**changes: Any) -> dict[str, Any]:
    """The valid v0.2 bundle with values put at dotted paths: `valid(**{"spec.policy.lane": "dev"})`."""
    value: dict[str, Any] = copy.deepcopy(json.loads((FIXTURES / "valid-v0.2.json").read_bytes()))
    for dotted, new in changes.items():
        *parents, last = dotted.split(".")
        node = value
        for step in parents:
            node = node.setdefault(step, {})
        node[last] = new
    return value


def report_on(value: dict[str, Any], files: tuple[FileFact, ...] = FILES, policy: Policy = POLICY) -> ValidationReport:
    return validate(Document.of(value, "test"), files, policy)


def codes(report: ValidationReport) -> set[str]:
    return {finding.code for finding in report.findings}
