"""Strict YAML: the part of it that means the same everywhere. Text to an object. Pure.

Scalars follow the JSON schema of YAML 1.2, not YAML 1.1: only `true`, `false`, `null`, `~` and JSON's numbers are
anything but strings. So `no`, `on`, `0777`, `1_000`, `12:30`, `2026-01-31` stay strings; quote them all the same.
Refused: anchors, aliases, merge keys, tags, several documents, duplicate keys, keys that are no strings, `.nan`,
`.inf`, and what the JSON parser refuses too. Without aliases a small text cannot become a large value.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from agentplane.documents import limits
from agentplane.documents.limits import Lines, refused
from agentplane.documents.model import Document, Position, pointer

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|[-+]?(?:NaN|Infinity)")
_WORDS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None, "~": None, "": None}
_MAX_DIGITS: Final = 400


def parse_yaml(data: bytes, origin: str, limit_bytes: int = limits.SIZE_BYTES) -> Document:
    """Parse a YAML object.

    Args:
        data: at most `limit_bytes` are accepted.
        origin: the file's name, for `where`.
        limit_bytes: the size cap.

    Raises:
        Refused: as `parse_json`, and `document.yaml-alias`, `.yaml-tag`, `.yaml-documents`, `.key`.
    """
    text = limits.decode(data, origin, limit_bytes)
    value, positions = build(text, origin)
    if not isinstance(value, dict):
        raise limits.not_an_object(value, origin, positions.get("", Position(1, 1)))
    return Document(value=value, origin=origin, syntax="yaml", text=text)


def build(text: str, origin: str) -> tuple[Any, dict[str, Position]]:
    """The value of a YAML text, and the position of every value in it by JSON pointer. Raises Refused."""
    builder = _Builder(text, origin)
    try:
        return builder.document(), builder.positions
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else None
        message = f"not YAML: {exc.problem or exc.context or 'unreadable'}"
        hint = "Check the indentation and the quotes; tabs never indent."
        raise refused("syntax", message, origin, position, hint=hint) from exc
    except yaml.YAMLError as exc:
        offset = getattr(exc, "position", None)
        at = Lines(text).position(offset) if isinstance(offset, int) else None
        raise refused("syntax", "not YAML: a character that YAML does not allow", origin, at) from exc


class _Builder:
    """Builds plain values from parser events, so that nothing is ever constructed by tag or reference."""

    def __init__(self, text: str, origin: str) -> None:
        self._events: Iterator[Event] = yaml.parse(text, Loader=_LOADER)
        self._origin = origin
        self.positions: dict[str, Position] = {}

    def document(self) -> Any:  # noqa: ANN401 - any JSON value
        """The one document of the stream."""
        value: Any = None
        documents = 0
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    hint = "Put every document in its own file."
                    raise refused("yaml-documents", "more than one document", self._origin, _at(event), hint=hint)
                value = self._value(next(self._events), ())
            elif isinstance(event, StreamEndEvent):
                break
        return value

    def _value(self, event: Event, path: tuple[str | int, ...]) -> Any:  # noqa: ANN401 - any JSON value
        self._refuse_references(event)
        self.positions[pointer(*path)] = _at(event)
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if len(path) >= limits.DEPTH:
            raise limits.too_deep(self._origin, _at(event))
        return self._mapping(path) if isinstance(event, MappingStartEvent) else self._sequence(path)

    def _mapping(self, path: tuple[str | int, ...]) -> dict[str, Any]:
        members: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event)
            if key in members:
                raise limits.duplicate_key(key, self._origin, _at(event))
            members[key] = self._value(next(self._events), (*path, key))
        return members

    def _sequence(self, path: tuple[str | int, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _key(self, event: Event) -> str:
        self._refuse_references(event)
        key = self._scalar(event) if isinstance(event, ScalarEvent) else event
        if _is_merge(event):
            hint = "Write the merged fields out."
            raise refused("yaml-alias", "merge keys (<<) are not allowed", self._origin, _at(event), hint=hint)
        if not isinstance(key, str):
            raise refused("key", "a key is not a string", self._origin, _at(event), hint="Put the key in quotes.")
        return key

    def _refuse_references(self, event: Event) -> None:
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            hint = "Write the value out at every place; references can make a small file huge."
            raise refused("yaml-alias", "anchors and aliases are not allowed", self._origin, _at(event), hint=hint)
        if isinstance(event, (ScalarEvent, MappingStartEvent, SequenceStartEvent)) and event.tag not in {None, "!"}:
            message = f"tags are not allowed (found {event.tag[:60]})"
            raise refused("yaml-tag", message, self._origin, _at(event), hint="Remove the tag.")

    def _scalar(self, event: ScalarEvent) -> str | int | float | bool | None:
        text = event.value
        if defect := limits.string_defect(text):
            raise limits.bad_string(defect, self._origin, _at(event))
        if not event.implicit[0]:  # quoted, or a block scalar
            return text
        if text in _WORDS:
            return _WORDS[text]
        match = _NUMBER.fullmatch(text)
        if match is None and not _NOT_FINITE.fullmatch(text):
            return text
        number = _number(text, is_integer=match is not None and match.group(1, 2) == (None, None))
        if number is None:
            raise limits.bad_number(text, self._origin, _at(event))
        return number


def _number(text: str, *, is_integer: bool) -> int | float | None:
    """The number, or None where it has no exact canonical form."""
    if len(text) > _MAX_DIGITS or _NOT_FINITE.fullmatch(text):
        return None
    if is_integer:
        return number if abs(number := int(text)) <= limits.SAFE_INTEGER else None
    real = float(json.loads(text))
    return real if math.isfinite(real) else None


def _is_merge(event: Event) -> bool:
    """Whether a key is YAML 1.1's merge key, unquoted."""
    return isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]


def _at(event: Event) -> Position:
    mark = event.start_mark
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
