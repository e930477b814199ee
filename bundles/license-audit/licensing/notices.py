"""Licence statements in comments: SPDX tags, and the notices that the licences tell authors to write."""

import re
from collections.abc import Iterator

from licensing import gnu
from licensing.expression import identifiers, is_expression
from licensing.model import Document, Finding
from licensing.regions import PROSE, Lines, comments, head, suffix
from licensing.texts import is_license_file
from licensing.words import words

_TAG = re.compile(r"SPDX-License-Identifier:\s*(.+)", re.IGNORECASE)
PROSE_TAG_LINES = 10  # in prose a tag is a line of its own, at the start

_GNU_NAME = r"gnu (affero |lesser |library )?general public license"
_GRANT = re.compile(
    r"redistribute (?:\w+ ){0,3}and or modify (?:\w+ ){0,3}under the terms of "
    rf"(?:the |version \d |of )*{_GNU_NAME}",
)
_SUBJECT = r"(?:this|the) (?:file|program|software|project|code|library|module|package|work|application|repository)"
_DECLARATION = re.compile(
    rf"{_SUBJECT} (?:\w+ ){{0,4}}(?:licensed|released|distributed|available) under (?:the )?(?:terms of )?(?:the )?"
    r"(gnu affero general public license|affero general public license|gnu agpl\w*|agpl\w*)",
)
_DENIAL = re.compile(r"\b(not|never|no longer|cannot|nor)\b")
_SPEAKS_FOR_ITSELF = re.compile(r"(readme|notice|authors)(\.|$)", re.IGNORECASE)


def find(document: Document) -> Iterator[Finding]:
    """The tags and notices of a document, in the places where they count."""
    low = document.text.lower()
    if "spdx-license-identifier" in low:
        yield from _tags(document)
    if "general public license" in low or "agpl" in low:
        yield from _notice(document)


def _tags(document: Document) -> Iterator[Finding]:
    for number, line in _tag_lines(document):
        tag = _TAG.match(line)
        value = tag[1].strip().strip("\"'`") if tag else ""
        if is_expression(value):
            yield Finding(document.path, number, "spdx-tag", value, identifiers(value))


def _tag_lines(document: Document) -> Lines:
    extension = suffix(document.name)
    if extension in PROSE or extension == "license" or is_license_file(document.path):
        lines = (line.strip().removeprefix("<!--") for line in document.text.splitlines()[:PROSE_TAG_LINES])
        return [(number, line.removesuffix("-->").strip()) for number, line in enumerate(lines, start=1)]
    return comments(document.text, extension)


def _notice(document: Document) -> Iterator[Finding]:
    number, text = _notice_text(document)
    grant = _GRANT.search(text)
    if grant:
        name = gnu.identifier(grant[1] or "", text[grant.start() : grant.end() + 200])
        yield Finding(document.path, number, "notice", name, (name,))
        return
    declared = _DECLARATION.search(text)
    if declared and not _DENIAL.search(declared[0]):
        name = gnu.identifier("affero", text[declared.start() : declared.end() + 60])
        yield Finding(document.path, number, "notice", name, (name,))


def _notice_text(document: Document) -> tuple[int, str]:
    """Where a document speaks about itself, as words: its head, or all of a README or licence file."""
    if _SPEAKS_FOR_ITSELF.match(document.name):
        return 1, words(document.text)
    if is_license_file(document.path) and "terms and conditions" not in document.text.lower():
        return 1, words(document.text)  # a full text quotes the notice that it recommends
    if suffix(document.name) in PROSE or is_license_file(document.path):
        return 0, ""
    lines = head(document.text)
    return (lines[0][0], words("\n".join(line for _, line in lines))) if lines else (0, "")
