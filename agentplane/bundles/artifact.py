"""The ValidationArtifact: the report in the seeds' form, for valid and for invalid bundles alike. Pure.

v0.1 is the form that is written and signed; it has no word for lane dev (null stands for it). v0.2 has, and carries the
findings behind the checks.
"""

from datetime import datetime
from typing import Any

from agentplane.bundles.findings import ValidationReport
from agentplane.clock import rfc3339
from agentplane.documents.findings import as_data


def validation_artifact(
    report: ValidationReport, captured_at: datetime, *, bundle_path: str | None = None, version: str = "v0.1"
) -> dict[str, Any]:
    """The document, valid against `validation-artifact.<version>`.

    Args:
        report: of `validate`.
        captured_at: when it was validated, aware.
        bundle_path: where its author had it; the report's origin when None.
        version: "v0.1" or "v0.2".
    """
    artifact: dict[str, Any] = {
        "kind": "ValidationArtifact",
        "bundle": report.bundle,
        "bundlePath": report.origin if bundle_path is None else bundle_path,
        "capturedAt": rfc3339(captured_at),
        "valid": report.valid,
        "lane": None if version == "v0.1" and report.lane == "dev" else report.lane,
        "governanceContext": report.governance_context,
        "checks": [{"name": c.name, "status": c.status, "message": c.message} for c in report.checks],
        "bundleMetadata": {"name": report.name, "version": report.version, "createdAt": report.created_at},
    }
    if version != "v0.1":
        artifact["findings"] = list(as_data(report.findings))
    return artifact
