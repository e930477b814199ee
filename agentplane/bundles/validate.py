"""The judgement: every rule is asked, every finding is kept, and only then is anything decided. Pure.

Bullets of order:
- identity first; a document that is no bundle gets no further findings, which could only mislead
- rules of our own next, in the order of `rules.RULES`; of each, failures first, in the order of the document
- the general ones last (numbers, unknown fields, schema): they say what no rule has said about the same place
"""

import re
from collections.abc import Sequence
from typing import Final

from agentplane.bundles.case import Case
from agentplane.bundles.findings import CheckResult, ValidationReport
from agentplane.bundles.rules import GENERAL, IDENTITY, RULES, Rule
from agentplane.bundles.rules.identity import NAME, VERSION, is_instant
from agentplane.bundles.rules.policy import LANES_V0_2
from agentplane.documents.findings import Finding, Severity, located
from agentplane.documents.model import Document
from agentplane.documents.positions import Positions
from agentplane.events.secrets import ANY_SHAPE
from agentplane.policy import Policy
from agentplane.runs.model import FileFact

_MAX_FINDINGS: Final = 200  # of one rule: a hostile document must not become a huge artifact
_MAX_MESSAGE: Final = 1000


def validate(document: Document, facts: Sequence[FileFact], policy: Policy) -> ValidationReport:
    """Judge a bundle.

    Args:
        document: as parsed; one that came as data has findings without line and column.
        facts: of every path that `paths.wanted` names, and of everything in the directory that leads out of it.
        policy: the control plane's, or the default one for a first look.
    """
    case = Case(value=document.value, files={fact.path: fact for fact in facts}, policy=policy)
    results = [(name, _ask(rule, case)) for name, rule in IDENTITY]
    if case.value.get("kind") == "Bundle":
        results += [(name, _ask(rule, case)) for name, rule in RULES]
        said = {finding.path for _, findings in results for finding in findings if finding.severity is Severity.FAIL}
        results += [(name, _unsaid(_ask(rule, case), said)) for name, rule in GENERAL]
    positions = Positions(document)
    placed = [(name, tuple(located(finding, positions) for finding in findings)) for name, findings in results]
    return _report(document, case, placed)


def _ask(rule: Rule, case: Case) -> tuple[Finding, ...]:
    findings = sorted(rule(case), key=lambda finding: finding.severity is not Severity.FAIL)
    if len(findings) > _MAX_FINDINGS:
        return tuple(findings[:_MAX_FINDINGS])  # failures stay: they decide
    return tuple(findings)


def _unsaid(findings: tuple[Finding, ...], said: set[str]) -> tuple[Finding, ...]:
    """Without those about a place, or a part of one, that a rule has failed."""
    return tuple(
        finding
        for finding in findings
        if not any(finding.path == place or (place and finding.path.startswith(place + "/")) for place in said)
    )


def _report(document: Document, case: Case, results: Sequence[tuple[str, tuple[Finding, ...]]]) -> ValidationReport:
    findings = tuple(finding for _, found in results for finding in found)
    name, version, created_at = (case.text("metadata", key) for key in ("name", "version", "createdAt"))
    lane = case.text("spec", "policy", "lane")
    # what is quoted of an invalid bundle is only what could not be harmful: it enters an artifact and a log
    is_valid = not any(finding.severity is Severity.FAIL for finding in findings)
    return ValidationReport(
        origin=document.origin,
        name=_quotable(name, NAME),
        version=_quotable(version, VERSION),
        created_at=created_at if created_at and is_instant(created_at) else None,
        lane=lane if lane in LANES_V0_2 else None,
        governance_context=case.block("spec", "governanceContext") if is_valid else None,
        findings=findings,
        checks=tuple(_check(name, found) for name, found in results),
    )


def _quotable(text: str | None, pattern: re.Pattern[str]) -> str | None:
    """The text, where it has its form and does not look like a secret."""
    return text if text is not None and pattern.fullmatch(text) and not ANY_SHAPE.search(text) else None


def _check(name: str, findings: tuple[Finding, ...]) -> CheckResult:
    if not findings:
        return CheckResult(name=name, status="pass", message=None)
    failed = any(finding.severity is Severity.FAIL for finding in findings)
    message = "; ".join(finding.message for finding in findings)[:_MAX_MESSAGE]
    return CheckResult(name=name, status="fail" if failed else "warn", message=message)
