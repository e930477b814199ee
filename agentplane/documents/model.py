"""A parsed document: its value, where it came from, and its text for positions. Pure."""

from typing import Any, Literal, Self

import msgspec


class Position(msgspec.Struct, frozen=True):
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object from the outside. `text` is empty for one that came as data: it then has no positions."""

    value: dict[str, Any]
    origin: str
    syntax: Literal["json", "yaml", "data"]
    text: str = ""

    @classmethod
    def of(cls, value: dict[str, Any], origin: str) -> Self:
        """A document that arrived as data (in an intent), without its text."""
        return cls(value=value, origin=origin, syntax="data")


def escape(segment: str) -> str:
    """One segment of a JSON pointer (RFC 6901, section 3)."""
    return segment.replace("~", "~0").replace("/", "~1")


def pointer(*segments: str | int) -> str:
    """The JSON pointer of a path: `pointer("spec", "mounts", 0)` is `/spec/mounts/0`; of nothing, the root `""`."""
    return "".join(f"/{escape(str(segment))}" for segment in segments)
