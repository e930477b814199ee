"""What a document may be at most, and the refusals for what is more. Pure."""

import bisect
import itertools
import math
from typing import Any, Final

from agentplane.canonical import canonical_bytes
from agentplane.documents.places import Position, pointer
from agentplane.errors import Refused

SIZE_BYTES: Final = 1 << 20  # of a text
VALUE_BYTES: Final = 256 << 10  # canonical: signed statements copy parts of a bundle, and must fit into an event
DEPTH: Final = 64
SAFE_INTEGER: Final = 2**53 - 1  # beyond it RFC 8785 has no canonical bytes (I-JSON, RFC 7493 section 2.2)


class Lines:
    """Offsets of a text to positions: built once, looked up by bisection."""

    def __init__(self, text: str) -> None:
        lengths = (len(line) + 1 for line in text.split("\n"))
        self._starts = list(itertools.accumulate(lengths, initial=0))

    def position(self, offset: int) -> Position:
        """The line and column of a character offset."""
        line = bisect.bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)


def refused(code: str, message: str, origin: str, position: Position | None = None, hint: str | None = None) -> Refused:
    """A `document.*` refusal that says where."""
    where = origin if position is None else f"{origin}:{position.line}:{position.column}"
    return Refused(message, code=f"document.{code}", where=where, hint=hint)


def too_large(origin: str, limit_bytes: int) -> Refused:
    """The refusal of more than a description needs."""
    hint = "A document describes; put bulk data in a file of the bundle or an input tree."
    return refused("too-large", f"more than {limit_bytes} bytes", origin, hint=hint)


def decode(data: bytes, origin: str, limit_bytes: int) -> str:
    """UTF-8 text of at most `limit_bytes`, its byte order mark removed.

    A byte order mark is legal to ignore (RFC 8259, section 8.1), and editors on Windows write it.

    Raises:
        Refused: `document.too-large`, `document.empty`, `document.encoding` (with the byte offset).
    """
    if len(data) > limit_bytes:
        raise too_large(origin, limit_bytes)
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8")
        raise refused(
            "encoding",
            f"byte 0x{data[exc.start]:02x} at offset {exc.start} is not UTF-8",
            origin,
            Lines(before).position(len(before)),
            hint="Save the file as UTF-8 (UTF-16 and Latin-1 are refused).",
        ) from exc
    if not text.strip():
        raise refused("empty", "the document is empty", origin, hint="Expected an object with apiVersion and kind.")
    return text


def too_deep(origin: str, position: Position) -> Refused:
    """The refusal of nesting beyond DEPTH."""
    return refused("too-deep", f"nested deeper than {DEPTH} levels", origin, position, hint="Flatten the document.")


def duplicate_key(key: str, origin: str, position: Position) -> Refused:
    """The refusal of a key given twice: parsers disagree on which one counts, so none does."""
    hint = "Remove one of the two; parsers disagree on which would count."
    return refused("duplicate-key", f"key {key[:60]!r} is given twice", origin, position, hint=hint)


def bad_number(text: str, origin: str, position: Position | None) -> Refused:
    """The refusal of a number without canonical bytes."""
    hint = "Write it as a string, or as an integer of at most 2^53 - 1."
    return refused("number", f"{text[:40]} is no number that JSON can carry exactly", origin, position, hint=hint)


def bad_string(what: str, origin: str, position: Position | None) -> Refused:
    """The refusal of a string that cannot be stored or encoded."""
    return refused("string", f"a string holds {what}", origin, position, hint="Remove that character.")


def not_an_object(found: object, origin: str, position: Position | None) -> Refused:
    """The refusal of a document whose root is a list or a scalar."""
    kind = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(found), "a number")
    hint = "A document is an object with apiVersion, kind, metadata and spec."
    return refused("root", f"the document is {kind}, not an object", origin, position, hint=hint)


def string_defect(text: str) -> str | None:
    """What makes a string unstorable: U+0000 (PostgreSQL has none) or half a surrogate pair (UTF-8 has none)."""
    if "\x00" in text:
        return "the NUL character (U+0000)"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a surrogate pair"
    return None


def check_value(value: Any, origin: str) -> None:  # noqa: ANN401 - any JSON value
    """Hold a value that came without a text to the parsers' limits. Never recurses: depth is what it looks for.

    Raises:
        Refused: `document.too-deep`, `document.number`, `document.string`; `where` ends in the JSON pointer.
            `document.too-large`.
    """
    pending: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
    while pending:
        node, path = pending.pop()
        if isinstance(node, dict | list):
            if len(path) >= DEPTH:
                raise refused("too-deep", f"nested deeper than {DEPTH} levels", origin, hint="Flatten the document.")
            steps = node.items() if isinstance(node, dict) else enumerate(node)
            pending += [(item, (*path, step)) for step, item in steps]
            _check_keys(node, origin, path)
        else:
            _check_leaf(node, f"{origin}#{pointer(*path)}")
    check_size(value, origin)


def check_size(value: Any, origin: str) -> None:  # noqa: ANN401 - any JSON value
    """Refuse (`document.too-large`) what has more than VALUE_BYTES canonical bytes."""
    if len(canonical_bytes(value)) > VALUE_BYTES:
        raise too_large(origin, VALUE_BYTES)


def _check_keys(node: dict[str, Any] | list[Any], origin: str, path: tuple[str | int, ...]) -> None:
    for key in node if isinstance(node, dict) else ():
        if defect := string_defect(key):
            raise bad_string(defect, f"{origin}#{pointer(*path)}", None)


def _check_leaf(leaf: object, where: str) -> None:
    if isinstance(leaf, str):
        if defect := string_defect(leaf):
            raise bad_string(defect, where, None)
    elif isinstance(leaf, int | float) and (
        abs(leaf) > SAFE_INTEGER if isinstance(leaf, int) else not math.isfinite(leaf)
    ):
        raise bad_number("it", where, None)
