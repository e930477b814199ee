"""What one line of foreign history holds, field by field: JSON read strictly, and why a line is refused. Pure.

Numbers that events cannot hold (fractions, integers beyond 2^53 - 1) become text, digit by digit as they stand there.
"""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import msgspec

from agentplane.events.digest import MAX_INTEGER

MAX_TEXT: Final = 512  # characters of an id, a type, an actor, a name
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")

Document = dict[str, Any]


class BadLine(Exception):
    """A line that is no event. `column` from 1; None: the line as a whole."""

    def __init__(self, reason: str, *, code: str = "import.line", column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.column = column


def object_of(raw: bytes) -> Document:
    """The JSON object that a line is. Raises BadLine: `import.json`."""
    try:
        document = json.loads(  # without the line's end: a cut line is told at its last column, not in a second line
            raw.decode().rstrip("\r\n"),
            object_pairs_hook=_pairs,
            parse_constant=_constant,
            parse_float=_fraction,
            parse_int=_integer,
        )
    except json.JSONDecodeError as exc:
        raise BadLine(exc.msg, code="import.json", column=exc.colno) from exc
    except UnicodeDecodeError as exc:
        raise BadLine("not UTF-8", code="import.json", column=exc.start + 1) from exc
    except (RecursionError, ValueError) as exc:
        raise BadLine("nested too deeply, or a number of thousands of digits", code="import.json") from exc
    if not isinstance(document, dict):
        raise BadLine("a line is one JSON object", code="import.json", column=1)
    if _SURROGATE.search(raw):
        _check_unicode(document)
    return document


def _check_unicode(document: Document) -> None:
    """JSON may write halves of a character, which no text is made of."""
    try:
        msgspec.json.encode(document)
    except UnicodeEncodeError as exc:
        raise BadLine("has text that is not valid Unicode", code="import.json") from exc


def _pairs(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise BadLine("a key stands twice in one object", code="import.json")
    return result


def _constant(name: str) -> NoReturn:
    raise BadLine(f"{name} is not JSON", code="import.json")


def _integer(text: str) -> int | str:
    value = int(text)
    return value if -MAX_INTEGER <= value <= MAX_INTEGER else text


def _fraction(text: str) -> int | str:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= MAX_INTEGER else text


def text_of(document: Document, name: str) -> str:
    """A field that must be there, as a line of text. Raises BadLine: `import.line`."""
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise BadLine(f"{name} must be 1 to {MAX_TEXT} printable characters")
    return value


def optional(document: Document, name: str) -> str | None:
    """A field that may be missing, null or empty. Raises BadLine: `import.line`."""
    return None if document.get(name) in (None, "") else text_of(document, name)


def data_of(document: Document, name: str) -> Document:
    """A field that is an object; one that is missing is empty. Raises BadLine: `import.line`."""
    data = document.get(name, {})
    if not isinstance(data, dict):
        raise BadLine(f"{name} must be an object")
    return data


def time_of(document: Document, name: str) -> datetime:
    """A moment; without an offset it is UTC. Raises BadLine: `import.line`, `import.time`."""
    try:
        moment = datetime.fromisoformat(text_of(document, name))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadLine(f"{name} must be an ISO 8601 time", code="import.time") from exc


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in any of its spellings."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True
