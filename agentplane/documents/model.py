"""A parsed document: its value, where it came from, and its text for positions. Pure."""

from typing import Any, Literal, Self

import msgspec

from agentplane.documents.limits import check_value
from agentplane.documents.places import Position, pointer

__all__ = ["Document", "Position", "pointer"]


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON object from the outside. `text` is empty for one that came as data: it then has no positions."""

    value: dict[str, Any]
    origin: str
    syntax: Literal["json", "yaml", "data"]
    text: str = ""

    @classmethod
    def of(cls, value: dict[str, Any], origin: str) -> Self:
        """A document that arrived as data (in an intent), without its text; held to what the parsers hold a text to.

        Raises:
            Refused: `document.too-deep`, `document.number` or `document.string`.
        """
        check_value(value, origin)
        return cls(value=value, origin=origin, syntax="data")
