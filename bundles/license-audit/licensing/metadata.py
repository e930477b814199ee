"""Licence fields of package metadata. A file that cannot be parsed has none: other tools complain about it."""

import configparser
import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from licensing.expression import MAX_IDENTIFIER_LENGTH, identifiers, is_expression
from licensing.model import Document, Finding

_CLASSIFIER = "License :: "
_FIELD = re.compile(r"(License|License-Expression|Classifier): *(.+)", re.IGNORECASE)
_SPDX_KEY = "SPDX-License-Identifier"
# Formats whose licence one pattern finds, by the end of the file's name.
_BY_ENDING = {
    "setup.py": re.compile(r"\blicense\s*=\s*[\"']([^\"']+)[\"']"),
    "pom.xml": re.compile(r"<license>\s*<name>([^<]+)</name>"),
    ".nix": re.compile(r"^\s*license\s*=\s*([^;]*\blicenses?\.[^;]+);", re.MULTILINE),
    ".spec": re.compile(r"^License:\s*(.+)$", re.MULTILINE),
    ".cff": re.compile(r"^license:\s*[\"']?([^\"'\n]+)", re.MULTILINE),
    ".gemspec": re.compile(r"\.licenses?\s*=\s*\[?[\"']([^\"']+)"),
}


def find(document: Document) -> Iterator[Finding]:
    """The licence fields of a document that is package metadata by its name."""
    reader = _READERS.get(document.name)
    try:
        values = list(reader(document.text)) if reader else list(_matches(document))
    except (ValueError, RecursionError, configparser.Error, AttributeError, TypeError):
        return
    for value in sorted({value.strip() for value in values if value.strip()}):
        names = identifiers(value) if is_expression(value) else (value[:MAX_IDENTIFIER_LENGTH],)
        yield Finding(document.path, _line_of(document.text, value), "metadata", value, names)


def _line_of(text: str, value: str) -> int:
    offset = text.find(value)
    return text.count("\n", 0, offset) + 1 if offset >= 0 else 0


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - foreign JSON
    """Licence names in any of the shapes that package managers accept."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (value[key] for key in ("type", "name", "text", "id") if isinstance(value.get(key), str))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _classifiers(values: list[str]) -> Iterator[str]:
    yield from (value.rpartition(" :: ")[2] for value in values if value.startswith(_CLASSIFIER))


def _pyproject(text: str) -> Iterator[str]:
    document = tomllib.loads(text)
    project = document.get("project", {})
    poetry = document.get("tool", {}).get("poetry", {})
    for table in (project, poetry):
        # {text = …} may hold a whole licence; its first line names it.
        yield from (value.strip().partition("\n")[0] for value in _texts(table.get("license")) if value.strip())
        yield from _classifiers(table.get("classifiers", []))


def _cargo(text: str) -> Iterator[str]:
    yield from _texts(tomllib.loads(text).get("package", {}).get("license"))


def _reuse(text: str) -> Iterator[str]:
    for annotation in tomllib.loads(text).get("annotations", []):
        yield from _texts(annotation.get(_SPDX_KEY))


def _package_json(text: str) -> Iterator[str]:
    document = json.loads(text)
    yield from _texts(document.get("license"))
    yield from _texts(document.get("licenses"))


def _package_lock(text: str) -> Iterator[str]:
    for package in json.loads(text).get("packages", {}).values():
        yield from _texts(package.get("license"))


def _setup_cfg(text: str) -> Iterator[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    yield parser.get("metadata", "license", fallback="")
    yield from _classifiers(parser.get("metadata", "classifiers", fallback="").split("\n"))


def _fields(text: str) -> Iterator[str]:
    for line in text.splitlines():
        field = _FIELD.fullmatch(line)
        if field and field[1].lower() == "classifier":
            yield from _classifiers([field[2]])
        elif field:
            yield field[2]


def _matches(document: Document) -> Iterator[str]:
    for ending, pattern in _BY_ENDING.items():
        if document.name.endswith(ending):
            yield from (match[1] for match in pattern.finditer(document.text))


_READERS: dict[str, Callable[[str], Iterator[str]]] = {
    "pyproject.toml": _pyproject,
    "Cargo.toml": _cargo,
    "REUSE.toml": _reuse,
    "package.json": _package_json,
    "composer.json": _package_json,
    "package-lock.json": _package_lock,
    "setup.cfg": _setup_cfg,
    "PKG-INFO": _fields,
    "METADATA": _fields,
}
