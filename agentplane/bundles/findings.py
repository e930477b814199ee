"""The report of a validation: findings and how each rule went. Pure values; expected negatives are not exceptions."""

from typing import Any

import msgspec

from agentplane.documents.findings import Finding, Severity, as_data
from agentplane.runs.model import Wire

__all__ = ["CheckResult", "Finding", "Severity", "ValidationReport", "as_data"]


class CheckResult(Wire, frozen=True, kw_only=True):
    """How one rule went: one line of the ValidationArtifact's `checks`."""

    name: str
    status: str  # "pass", "warn", "fail"
    message: str | None


class ValidationReport(Wire, frozen=True, kw_only=True):
    """All that validation found, in a stable order, and what the ValidationArtifact quotes of the bundle."""

    origin: str
    name: str | None  # None: missing or unusable
    version: str | None
    created_at: str | None
    lane: str | None
    governance_context: dict[str, Any] | None
    findings: tuple[Finding, ...]
    checks: tuple[CheckResult, ...]

    @property
    def valid(self) -> bool:
        """No finding fails."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that decide."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.FAIL)

    @property
    def bundle(self) -> str:
        """`name@version`; "unknown" stands for what is missing."""
        return f"{self.name or 'unknown'}@{self.version or 'unknown'}"

    def to_json(self) -> dict[str, Any]:
        """The report as data, for `-o json`."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return {"bundle": self.bundle, "valid": self.valid, **data}
