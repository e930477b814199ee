"""The report: findings gathered by licence, the refusals, and the mentions that were not refused."""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from licensing.expression import is_agpl
from licensing.model import FileReport, Finding, Mention, TreeTotals

MAX_MENTIONS = 200


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of an audit."""

    totals: TreeTotals
    findings: tuple[Finding, ...]
    refused: tuple[Finding, ...]
    mentions: tuple[Mention, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        verdict = f"REFUSED: {len(self.refused)} AGPL" if self.refused else "no AGPL"
        names = len(by_license(self.findings))
        return f"{verdict}; {names} licences stated in {self.totals.text_files} text files"


def build(files: Iterable[FileReport], totals: TreeTotals) -> Report:
    """Gather what the files said."""
    reports = list(files)
    findings = tuple(sorted(finding for report in reports for finding in report.findings))
    return Report(
        totals,
        findings,
        tuple(finding for finding in findings if any(is_agpl(name) for name in finding.identifiers)),
        tuple(sorted(mention for report in reports for mention in report.mentions)),
    )


def by_license(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings under each identifier, in the order of their names."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        for name in finding.identifiers:
            groups[name].append(finding)
    return dict(sorted(groups.items()))


def to_json(report: Report) -> str:
    """The report for programs; the same report gives the same bytes."""
    document = {
        "apiVersion": "license-audit/v1",
        "verdict": "refused" if report.refused else "pass",
        "textFiles": report.totals.text_files,
        "binaryFiles": report.totals.binary_files,
        "licenses": {name: len(findings) for name, findings in by_license(report.findings).items()},
        "refused": [asdict(finding) for finding in report.refused],
        "findings": [asdict(finding) for finding in report.findings],
        "mentionCount": len(report.mentions),
        "mentions": [asdict(mention) for mention in report.mentions[:MAX_MENTIONS]],
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def to_markdown(report: Report) -> str:
    """The report for people."""
    sections = [
        f"# Licence audit\n\n{report.summary}. {report.totals.binary_files} binary files were not looked into.",
        _section("Refused", [_row(finding) for finding in report.refused]),
        _section("Licences", [f"- `{name}`: {_places(group)}" for name, group in by_license(report.findings).items()]),
        _section(
            "Mentions of the AGPL that grant nothing",
            [f"- {_code(f'{item.path}:{item.line}')} {_code(item.text)}" for item in report.mentions[:MAX_MENTIONS]],
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, rows: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(rows) if rows else ""


def _row(finding: Finding) -> str:
    return f"- {_code(f'{finding.path}:{finding.line}')} {_code(finding.expression)} ({finding.kind})"


def _places(findings: list[Finding]) -> str:
    shown = ", ".join(_code(f"{finding.path}:{finding.line}") for finding in findings[:5])
    return shown if len(findings) <= 5 else f"{shown} and {len(findings) - 5} more"  # noqa: PLR2004 - enough to look


def _code(text: str) -> str:
    """Foreign text as code: it cannot become markup."""
    return "`" + text.replace("`", "'").replace("\n", " ") + "`"
