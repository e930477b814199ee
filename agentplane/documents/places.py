"""Places in documents: positions in a text, JSON pointers in a value. Pure."""

import msgspec


class Position(msgspec.Struct, frozen=True):
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


def escape(segment: str) -> str:
    """One segment of a JSON pointer (RFC 6901, section 3)."""
    return segment.replace("~", "~0").replace("/", "~1")


def pointer(*segments: str | int) -> str:
    """The JSON pointer of a path: `pointer("spec", "mounts", 0)` is `/spec/mounts/0`; of nothing, the root `""`."""
    return "".join(f"/{escape(str(segment))}" for segment in segments)
