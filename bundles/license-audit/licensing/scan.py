"""One document: its findings, and the lines that mention the AGPL without being one."""

from licensing import metadata, notices, texts
from licensing.expression import is_agpl
from licensing.model import Document, FileReport, Finding, Mention

MAX_MENTION_LENGTH = 160


def scan(document: Document) -> FileReport:
    """Everything that a document says about licences, in order."""
    findings = tuple(sorted({*texts.find(document), *notices.find(document), *metadata.find(document)}))
    return FileReport(findings, tuple(_mentions(document, findings)))


def _mentions(document: Document, findings: tuple[Finding, ...]) -> list[Mention]:
    if not is_agpl(document.text) or any(is_agpl(name) for finding in findings for name in finding.identifiers):
        return []
    return [
        Mention(document.path, number, line.strip()[:MAX_MENTION_LENGTH])
        for number, line in enumerate(document.text.splitlines(), start=1)
        if is_agpl(line)
    ]
