"""One text of several documents: YAML that `---` parts, a JSON array of them, or JSON objects in a row (JSONL). Pure.

Each document is parsed alone, behind as many empty lines as stand before it, so that every position is the file's.
"""

import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from agentplane.documents import limits
from agentplane.documents.model import Document
from agentplane.documents.parse import parse_document

STREAM_BYTES: Final = 16 << 20
DOCUMENTS: Final = 2000
# a line that begins so is a marker wherever it stands: YAML allows none inside of scalars (1.2, c-forbidden)
_MARKER: Final = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_COLUMNS: Final = 4096
_JSON: Final = json.JSONDecoder()
_NOTHING: Final = re.compile(r"(?:---)?(?:\s|#[^\n]*(?:\n|$)|\.\.\.(?=\s|$))*")


def parse_documents(data: bytes, origin: str) -> list[Document]:
    """Parse all documents of a text; empty ones between YAML's markers are passed over.

    Args:
        data: at most STREAM_BYTES in all, and `limits.SIZE_BYTES` for each document.
        origin: the file's name, for `where`.

    Raises:
        Refused: as `parse_document`; `document.too-large` for more than DOCUMENTS of them, too.
    """
    text = limits.decode(data, origin, STREAM_BYTES)
    if objects := _objects(text, origin):
        return _all(((*_before(text, start), text[start:end]) for start, end in objects), origin)
    if origin.lower().endswith(".json") or not _MARKER.search(text):
        return [parse_document(data, origin)]
    found = _all(((lines, 0, part) for lines, part in _parts(text) if not _NOTHING.fullmatch(part)), origin)
    if not found:
        hint = "Expected an object with apiVersion and kind."
        raise limits.refused("empty", "there is no document between the markers", origin, hint=hint)
    return found


def _all(parts: Iterable[tuple[int, int, str]], origin: str) -> list[Document]:
    """A document of each part, of which lines and columns before it are known."""
    found: list[Document] = []
    for lines, columns, part in parts:
        if len(found) == DOCUMENTS:
            raise limits.refused("too-large", f"more than {DOCUMENTS} documents", origin, hint="Use several files.")
        found.append(_parsed(part, lines, columns, origin))
    return found


def _objects(text: str, origin: str) -> list[tuple[int, int]]:
    """Where the objects of a JSON array, or of several in a row, begin and end; none: it is something else."""
    start = _space(text, 0)
    listed = text[start : start + 1] == "["
    if text[start : start + 1] not in {"[", "{"} or origin.lower().endswith((".yaml", ".yml")):
        return []
    found: list[tuple[int, int]] = []
    at = _space(text, start + listed)
    while text[at : at + 1] == "{":
        try:
            end = _JSON.raw_decode(text, at)[1]
        except (ValueError, RecursionError):  # the parser of single documents says what is wrong, and where
            return []
        found.append((at, end))
        at = _space(text, end)
        if listed and text[at : at + 1] == ",":
            at = _space(text, at + 1)
    closed = text[at:].strip() == ("]" if listed else "")
    return found if closed and (listed or len(found) > 1) else []


def _space(text: str, at: int) -> int:
    """The next place that is no white space."""
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _before(text: str, start: int) -> tuple[int, int]:
    """How many lines are before a place, and how many columns in its own; far out they are not counted."""
    columns = start - (text.rfind("\n", 0, start) + 1)
    return text.count("\n", 0, start), columns if columns <= _COLUMNS else 0


def _parts(text: str) -> Iterator[tuple[int, str]]:
    starts = [0, *(match.start() for match in _MARKER.finditer(text)), len(text)]
    lines = 0
    for start, end in itertools.pairwise(starts):
        yield lines, text[start:end]
        lines += text.count("\n", start, end)


def _parsed(part: str, lines_before: int, columns_before: int, origin: str) -> Document:
    padded = "\n" * lines_before + " " * columns_before + part
    return parse_document(padded.encode(), origin, limits.SIZE_BYTES + lines_before + columns_before)
