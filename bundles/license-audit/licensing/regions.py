"""Where in a file a licence statement counts: comments and the leading docstring, not strings and not prose."""

import io
import re
import tokenize

Lines = list[tuple[int, str]]

_LINE_MARKERS = re.compile(r"(#+!?|//+!?|--+|;+|%+|!+|dnl\b|REM\b|\.\\\"|@c\b)\s*", re.IGNORECASE)
_BLOCKS = (("/*", "*/"), ("<!--", "-->"), ('"""', '"""'), ("'''", "'''"), ("{-", "-}"), ("(*", "*)"), ("--[[", "]]"))
_PROLOGUES = ("<?xml", "<!doctype", "<?php", "@echo off", "@charset")
_CLOSERS = re.compile(r"\s*(\*+/|-->|-\}|\*\)|\]\])\s*$")

# Line comments stand anywhere in these; in shells and Nix a line that looks like one may be text of a document.
_C_LIKE = frozenset(
    {
        "c",
        "h",
        "cc",
        "cpp",
        "hpp",
        "cs",
        "go",
        "rs",
        "java",
        "kt",
        "scala",
        "swift",
        "js",
        "mjs",
        "cjs",
        "jsx",
        "ts",
        "tsx",
        "dart",
        "proto",
    }
)
PROSE = frozenset({"md", "markdown", "rst", "txt", "adoc", "org", "html", "htm"})


def suffix(name: str) -> str:
    """The extension, in lower case and without its dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def head(text: str) -> Lines:
    """The comment lines before the first line of code, stripped of their markers. Numbers count from 1."""
    lines: Lines = []
    closer = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().lstrip("\ufeff")
        if closer:
            lines.append((number, _content(line)))
            closer = "" if closer in line else closer
        elif opened := _opened(line):
            lines.append((number, _content(line[len(opened[0]) :])))
            closer = "" if opened[1] in line[len(opened[0]) :] else opened[1]
        elif marker := _LINE_MARKERS.match(line):
            lines.append((number, _content(line[marker.end() :])))
        elif line and not line.lower().startswith(_PROLOGUES):
            break
    return lines


def comments(text: str, extension: str) -> Lines:
    """Comment lines in which an SPDX tag counts: those of the head, and all others where they can be told apart."""
    found = dict(head(text))
    if extension == "py":
        found |= dict(_python_comments(text))
    elif extension in _C_LIKE:
        found |= {
            number: _content(line.strip().lstrip("/*"))
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip().startswith(("//", "/*", "*"))
        }
    return sorted(found.items())


def _python_comments(text: str) -> Lines:
    comments: Lines = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                comments.append((token.start[0], _content(token.string.lstrip("#"))))
    except (tokenize.TokenError, SyntaxError):
        pass  # not Python after all: what was read so far counts
    return comments


def _opened(line: str) -> tuple[str, str] | None:
    bare = line[1:] if line[:1] in "rR" and line[1:4] in ('"""', "'''") else line
    return next((block for block in _BLOCKS if bare.startswith(block[0])), None)


def _content(line: str) -> str:
    return _CLOSERS.sub("", line).strip().lstrip("*!").strip().removesuffix('"""').removesuffix("'''").strip()
