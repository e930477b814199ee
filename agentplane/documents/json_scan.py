"""Where things are in a JSON text: a tokenizer that walks it without building it. Pure.

The standard parser is fast and right but knows no positions and is silent on duplicate keys; this walks the same text
a second time, only when somebody asks where. Linear in the text: the string pattern never backtracks.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

import msgspec

_STRING: Final = r'"(?:[^"\\]++|\\.)*+"?'  # an unterminated one runs to the end, so nothing is scanned twice
_TOKEN: Final = re.compile(rf"{_STRING}|[\[\]{{}},]|[^\s\[\]{{}},:\"]++", re.DOTALL)
_BRACKET: Final = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)


class Place(msgspec.Struct, frozen=True):
    """A value in the text."""

    path: tuple[str | int, ...]
    offset: int  # of the value, in characters
    key_offset: int  # of its key; of the value itself where there is no key
    lexeme: str  # the scalar as written, or the opening bracket


class _Frame(msgspec.Struct):
    """An open object or array."""

    path: tuple[str | int, ...]
    is_object: bool
    awaits_key: bool
    key: str = ""
    key_offset: int = 0
    index: int = 0


def first_beyond(text: str, depth: int) -> int | None:
    """The offset of the first bracket that opens more than `depth` levels; None when there is none."""
    level = 0
    for match in _BRACKET.finditer(text):
        character = match.group()[0]
        if character in "[{":
            level += 1
            if level > depth:
                return match.start()
        elif character in "]}":
            level -= 1
    return None


def walk(text: str) -> Iterator[Place]:
    """Every value of a JSON text, parents first, in the order of the text. The text must be valid JSON."""
    stack: list[_Frame] = []
    for match in _TOKEN.finditer(text):
        lexeme, frame = match.group(), stack[-1] if stack else None
        if lexeme in "]}":
            stack.pop()
        elif lexeme == "," and frame:
            frame.index, frame.awaits_key = frame.index + 1, frame.is_object
        elif frame and frame.awaits_key:
            frame.key, frame.key_offset, frame.awaits_key = json.loads(lexeme), match.start(), False
        else:
            place = _place(frame, match.start(), lexeme)
            yield place
            if lexeme in "[{":
                stack.append(_Frame(path=place.path, is_object=lexeme == "{", awaits_key=lexeme == "{"))


def _place(frame: _Frame | None, offset: int, lexeme: str) -> Place:
    if frame is None:
        return Place((), offset, offset, lexeme)
    if frame.is_object:
        return Place((*frame.path, frame.key), offset, frame.key_offset, lexeme)
    return Place((*frame.path, frame.index), offset, offset, lexeme)
