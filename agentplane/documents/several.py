"""One text of several documents, as `---` parts them in YAML. Pure.

Each document is parsed alone, behind as many empty lines as stand before it, so that every position is the file's.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Final

from agentplane.documents import limits
from agentplane.documents.model import Document
from agentplane.documents.parse import parse_document

STREAM_BYTES: Final = 16 << 20
DOCUMENTS: Final = 2000
# a line that begins so is a marker wherever it stands: YAML allows none inside of scalars (1.2, c-forbidden)
_MARKER: Final = re.compile(r"^---(?=[ \t\r\n]|$)", re.MULTILINE)
_NOTHING: Final = re.compile(r"(?:---)?(?:\s|#[^\n]*(?:\n|$)|\.\.\.(?=\s|$))*")


def parse_documents(data: bytes, origin: str) -> list[Document]:
    """Parse one JSON document, or all documents of a YAML text; empty ones between markers are passed over.

    Args:
        data: at most STREAM_BYTES in all, and `limits.SIZE_BYTES` for each document.
        origin: the file's name, for `where`.

    Raises:
        Refused: as `parse_document`; `document.too-large` for more than DOCUMENTS of them, too.
    """
    text = limits.decode(data, origin, STREAM_BYTES)
    if origin.lower().endswith(".json") or not _MARKER.search(text):
        return [parse_document(data, origin)]
    found: list[Document] = []
    for lines_before, part in _parts(text):
        if _NOTHING.fullmatch(part):
            continue
        if len(found) == DOCUMENTS:
            raise limits.refused("too-large", f"more than {DOCUMENTS} documents", origin, hint="Use several files.")
        found.append(_parsed(part, lines_before, origin))
    return found or [parse_document(data, origin)]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    starts = [0, *(match.start() for match in _MARKER.finditer(text)), len(text)]
    lines = 0
    for start, end in itertools.pairwise(starts):
        yield lines, text[start:end]
        lines += text.count("\n", start, end)


def _parsed(part: str, lines_before: int, origin: str) -> Document:
    padded = "\n" * lines_before + part
    return parse_document(padded.encode(), origin, limits.SIZE_BYTES + lines_before)
