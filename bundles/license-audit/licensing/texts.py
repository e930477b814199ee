"""Licence files and the texts in them.

Traps, each with a test: the GPL's section 13 and the MPL's definition of secondary licences name the Affero
licence without being it; a policy file names it in a sentence; a REUSE file is named after its licence.
"""

import re
from collections.abc import Iterator

from licensing import gnu
from licensing.expression import identifiers, is_expression
from licensing.model import Document, Finding
from licensing.regions import suffix
from licensing.words import words

_LICENSE_FILE = re.compile(r"(un)?licen[cs]es?|copying|copyright", re.IGNORECASE)
_ABOUT_LICENSES = re.compile(r"policy|polic(y|ies)|check|audit|header|template|list|report|guide", re.IGNORECASE)
_BARE_AGPL = re.compile(r"(?:license )?(?:gnu )?agpl ?v?\d?(?: \d)?(?: only| or later|\+)?")
_NOT_TEXT = frozenset({"py", "js", "ts", "go", "rs", "c", "h", "java", "sh", "nix", "json", "yaml", "yml", "toml"})
_VERBATIM = "everyone is permitted to copy and distribute verbatim copies"
FULL_TEXT_WORDS = 1500  # the shortest GNU licence with its terms has more

# Passages that together occur in one licence's text only.
_PASSAGES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Apache-2.0", ("apache license", "version 2 0", "terms and conditions for use reproduction and distribution")),
    ("MPL-2.0", ("mozilla public license version 2 0", "covered software")),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms",)),
    ("MIT", ("permission is hereby granted free of charge to any person obtaining a copy", "sublicense")),
    ("ISC", ("permission to use copy modify and or distribute this software for any purpose",)),
    ("Unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("CC0-1.0", ("cc0 1 0 universal",)),
    ("EPL-2.0", ("eclipse public license v 2 0",)),
    ("BSL-1.0", ("boost software license version 1 0",)),
    ("Zlib", ("this software is provided as is without any express or implied warranty", "altered source versions")),
)


def is_license_file(path: str) -> bool:
    """Whether a file is there to hold a licence: LICENSE, COPYING.AGPL, LICENSES/MIT.txt; not license-policy.md."""
    *directories, name = path.split("/")
    if suffix(name) in _NOT_TEXT:
        return False
    if "LICENSES" in directories:
        return True
    stem = _LICENSE_FILE.match(name)
    if stem is None or _ABOUT_LICENSES.search(name):
        return False
    return stem.end() == len(name) or not name[stem.end()].isalpha()


def find(document: Document) -> Iterator[Finding]:
    """The licences whose text a document holds."""
    if is_license_file(document.path):
        stated = [*_gnu(document, whole=False), *_bare(document)] or [*_other(document)] or [*_named(document)]
    else:
        stated = [*_gnu(document, whole=True)]
    # A licence's text says its title more than once.
    yield from {finding.identifiers: finding for finding in reversed(stated)}.values()


def _gnu(document: Document, *, whole: bool) -> Iterator[Finding]:
    if "general public license" not in document.text.lower():
        return
    lines = document.text.splitlines()
    for index, line in enumerate(lines):
        title = gnu.TITLE.fullmatch(words(line)) if _stands_alone(lines, index) else None
        if title is None or (whole and not _full_text_follows(lines[index:])):
            continue
        name = gnu.identifier(title[1] or "", words(" ".join(lines[index : index + 3])))
        yield Finding(document.path, index + 1, "license-text", name, (name,))


def _stands_alone(lines: list[str], index: int) -> bool:
    """Whether a line is a heading: a sentence that happens to wrap there goes on, or goes before."""
    after_gap = index == 0 or not words(lines[index - 1])
    before_version = index + 1 < len(lines) and gnu.VERSION_LINE.fullmatch(words(lines[index + 1])) is not None
    return (after_gap or before_version) and not lines[index].rstrip().endswith((".", ",", ";", ":"))


def _full_text_follows(lines: list[str]) -> bool:
    return _VERBATIM in words(" ".join(lines[:12])) and len(words(" ".join(lines)).split()) >= FULL_TEXT_WORDS


def _bare(document: Document) -> Iterator[Finding]:
    for number, raw in enumerate(document.text.splitlines(), start=1):
        if _BARE_AGPL.fullmatch(words(raw)):
            line = raw.strip().strip("#*`").strip()
            yield Finding(document.path, number, "license-file", line, (line,))


def _other(document: Document) -> Iterator[Finding]:
    text = words(document.text)
    for name, passages in _PASSAGES:
        if all(passage in text for passage in passages):
            yield Finding(document.path, 1, "license-text", name, (name,))
            return


def _named(document: Document) -> Iterator[Finding]:
    """A file named after its licence, as REUSE has them and as COPYING.AGPL is."""
    name = document.name.removesuffix(".txt").removesuffix(".md")
    stem = _LICENSE_FILE.match(name)
    label = name[stem.end() :].strip("-_. ") if stem else name
    if label and is_expression(label):
        yield Finding(document.path, 0, "license-file", label, identifiers(label))
