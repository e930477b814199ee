"""What a rule sees: the document, the files, the policy, and how to say what it found. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from agentplane.bundles.model import V0_2
from agentplane.bundles.paths import find
from agentplane.documents.findings import Finding, Severity
from agentplane.documents.model import pointer
from agentplane.events.secrets import ANY_SHAPE
from agentplane.policy import Policy
from agentplane.runs.model import FileFact

Path = tuple[str | int, ...]
Findings = Iterator[Finding]
_SHOWN: Final = 60


class Missing:
    """Stands for a field that is not there; `null` is there."""


MISSING: Final = Missing()


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One bundle before its rules."""

    value: dict[str, Any]
    files: dict[str, FileFact]  # by path
    policy: Policy

    @property
    def is_v0_2(self) -> bool:
        """Whether the closed schema applies."""
        return self.value.get("apiVersion") == V0_2

    def get(self, *path: str | int) -> Any:  # noqa: ANN401 - any JSON value, or MISSING
        """The value at a path; MISSING where there is none."""
        node: Any = self.value
        for step in path:
            if isinstance(node, dict) and step in node:
                node = node[step]
            elif isinstance(node, list) and step in range(len(node)):
                node = node[int(step)]
            else:
                return MISSING
        return node

    def text(self, *path: str | int) -> str | None:
        """The string at a path; None where there is none, for rules that leave wrong types to the schema."""
        value = self.get(*path)
        return value if isinstance(value, str) else None

    def block(self, *path: str | int) -> dict[str, Any] | None:
        """The object at a path; None where there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else None

    def items(self, *path: str | int) -> list[Any]:
        """The list at a path; empty where there is none."""
        value = self.get(*path)
        return value if isinstance(value, list) else []

    def file(self, path: str) -> FileFact:
        """What the edge saw at a path of the bundle."""
        return find(path, self.files)


def fail(code: str, path: Path, message: str, hint: str | None = None) -> Finding:
    """A finding that decides."""
    return _finding(Severity.FAIL, code, path, message, hint)


def warn(code: str, path: Path, message: str, hint: str | None = None) -> Finding:
    """A finding that people should know of."""
    return _finding(Severity.WARN, code, path, message, hint)


def _finding(severity: Severity, code: str, path: Path, message: str, hint: str | None) -> Finding:
    shown = (_redacted(step) if isinstance(step, str) else step for step in path)
    return Finding(code=f"bundle.{code}", severity=severity, path=pointer(*shown), message=message, hint=hint)


def _redacted(step: str) -> str:
    # a key may itself be the secret
    return "<redacted>" if ANY_SHAPE.search(step) else step


def quote(value: object) -> str:
    """A value in words for a message: short, printable, and never one that looks like a secret."""
    if isinstance(value, str):
        if ANY_SHAPE.search(value):
            return "<redacted>"
        return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
