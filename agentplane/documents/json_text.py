"""Strict JSON (RFC 8259, as narrowed by I-JSON, RFC 7493): text to an object. Pure.

Refused beyond the grammar: duplicate keys, NaN and Infinity, numbers that have no exact canonical form, NUL characters,
half surrogate pairs, nesting deeper than 64.
"""

import json
import math
import re
from typing import Any, Final, Never

from agentplane.documents import json_scan, limits
from agentplane.documents.limits import Lines, refused
from agentplane.documents.model import Document, Position

_SUSPECT_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_MAX_DIGITS: Final = 400  # no number that we accept is longer; int() of a million digits takes minutes


class _Doubtful(Exception):
    """Something is wrong that the standard parser cannot locate."""


def parse_json(data: bytes, origin: str, limit_bytes: int = limits.SIZE_BYTES) -> Document:
    """Parse a JSON object.

    Args:
        data: at most `limit_bytes` are accepted; an edge passes one more than that to show there was more.
        origin: the file's name, for `where`.
        limit_bytes: the size cap.

    Raises:
        Refused: `document.too-large`, `.empty`, `.encoding`, `.too-deep`, `.syntax`, `.duplicate-key`, `.number`,
            `.string` or `.root`, each with `where`.
    """
    text = limits.decode(data, origin, limit_bytes)
    deep = json_scan.first_beyond(text, limits.DEPTH)
    if deep is not None:
        raise limits.too_deep(origin, Lines(text).position(deep))
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_doubt, parse_int=_int, parse_float=_float)
    except json.JSONDecodeError as exc:
        position = Position(exc.lineno, exc.colno)
        raise refused("syntax", f"not JSON: {exc.msg}", origin, position, hint=_syntax_hint(text, exc.pos)) from exc
    except _Doubtful as exc:
        _locate(text, origin, exc)
    if _SUSPECT_ESCAPE.search(text) or "\x00" in text:
        _check_strings(text, origin)
    if not isinstance(value, dict):
        raise limits.not_an_object(value, origin, Position(1, 1))
    return Document(value=value, origin=origin, syntax="json", text=text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Doubtful
    return members


def _doubt(_text: str) -> Never:
    raise _Doubtful


def _int(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(number := int(text)) > limits.SAFE_INTEGER:
        raise _Doubtful
    return number


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _Doubtful
    return number


def _locate(text: str, origin: str, cause: _Doubtful) -> Never:
    """Find what the hooks objected to, in the order of the text."""
    seen: set[tuple[str | int, ...]] = set()
    lines = Lines(text)
    for place in json_scan.walk(text):
        if place.path in seen:
            raise limits.duplicate_key(str(place.path[-1]), origin, lines.position(place.key_offset)) from cause
        seen.add(place.path)
        if _is_bad_number(place.lexeme):
            raise limits.bad_number(place.lexeme, origin, lines.position(place.offset)) from cause
    raise refused("syntax", "not JSON", origin) from cause


def _is_bad_number(lexeme: str) -> bool:
    if lexeme in {"NaN", "Infinity", "-Infinity"}:
        return True
    if lexeme[0] not in "-0123456789":
        return False
    try:
        (_float if set(lexeme) & set(".eE") else _int)(lexeme)
    except _Doubtful:
        return True
    return False


def _check_strings(text: str, origin: str) -> None:
    lines = Lines(text)
    for place in json_scan.walk(text):
        strings = [str(place.path[-1])] if place.path else []
        if place.lexeme.startswith('"'):
            strings.append(json.loads(place.lexeme))
        defect = next(filter(None, map(limits.string_defect, strings)), None)
        if defect:
            raise limits.bad_string(defect, origin, lines.position(place.offset))


def _syntax_hint(text: str, offset: int) -> str:
    rest = text[offset : offset + 2]
    before = text[:offset].rstrip()
    if rest[:1] in {"/", "#"}:
        return "JSON has no comments; remove it, or write the document as YAML."
    if rest[:1] in {"}", "]"} or before.endswith(","):
        return "A comma before a closing bracket is not JSON; remove it."
    if rest[:1] == "'":
        return "JSON strings have double quotes."
    if not rest:
        return "The text ends too early: a bracket or quote is not closed."
    return "Check the commas, quotes and brackets just before this place."
