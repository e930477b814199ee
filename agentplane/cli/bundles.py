"""`agentplane validate`: every rule, all findings, nothing created."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agentplane.cli import render
from agentplane.errors import Refused

if TYPE_CHECKING:
    from agentplane.bundles.findings import ValidationReport
    from agentplane.documents.model import Document
    from agentplane.runs.model import FileFact


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--artifact", type=click.Path(path_type=Path, dir_okay=False), help="Write the ValidationArtifact here.")
@render.output_option
def validate(path: Path, artifact: Path | None, output: str) -> int:
    """Check the bundle at PATH (its directory or its document) against every rule.

    Exit status 0: it is valid. 2: it is not.
    """
    report, _, _, _ = judge(path)
    render.emit(report.to_json(), output, lambda: show(report))
    if artifact:
        _write_artifact(report, artifact)
    return 0 if report.valid else Refused.exit_status


def judge(path: Path) -> tuple["ValidationReport", "Document", "tuple[FileFact, ...]", Path]:
    """Read and validate with the default policy; control judges again with its own."""
    from agentplane.bundles.edge import inspect
    from agentplane.bundles.validate import validate as decide
    from agentplane.policy import Policy

    document, facts, directory = inspect(path)
    return decide(document, facts, Policy()), document, facts, directory


def show(report: "ValidationReport") -> None:
    """The findings, worst first, for people."""
    rows = [
        (finding.severity.value, f"{finding.line or '-'}:{finding.column or '-'}", finding.path, finding.code)
        for finding in report.findings
    ]
    if rows:
        render.table(["", "line:col", "field", "code"], rows, empty="")
    for finding in report.findings:
        render.say(f"  {finding.code}: {finding.message}" + (f"\n    {finding.hint}" if finding.hint else ""))
    failed = len(report.failures)
    verdict = f"{report.bundle}: {'valid' if report.valid else f'refused, {failed} finding(s)'}"
    render.say(verdict, style="green" if report.valid else "red")


def _write_artifact(report: "ValidationReport", path: Path) -> None:
    import json

    from agentplane.bundles.artifact import validation_artifact
    from agentplane.clock import SystemClock

    version = "v0.2" if report.lane == "dev" else "v0.1"
    document = validation_artifact(report, SystemClock().now(), version=version)
    try:
        path.write_text(json.dumps(document, indent=2) + "\n")
    except OSError as exc:
        raise Refused(f"cannot be written: {exc.strerror}", code="output.unwritable", where=str(path)) from exc
