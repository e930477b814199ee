"""Reading questions and bounding answers: what every part of the query service does alike. Pure."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from agentplane.errors import Refused
from agentplane.events.codec import unknown_fields
from agentplane.queries import protocol as wire

T = TypeVar("T")


def question(data: bytes, type_: type[T]) -> T:
    """The question in a request's body.

    A field that is not known is no detail (it may be a filter), so it is refused rather than overlooked.

    Raises:
        Refused: codes `query.too-large`, `query.malformed`, `query.version`.
    """
    if len(data) > wire.MAX_REQUEST_BYTES:
        raise Refused(f"a question of {len(data)} bytes", code="query.too-large")
    try:
        found = msgspec.json.decode(data or b"{}", type=type_)
        unknown = unknown_fields(msgspec.json.decode(data or b"{}"), found)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refused(f"not a question: {exc}", code="query.malformed") from exc
    if _has_nul(found):  # PostgreSQL has no such text, so nothing is called by it
        raise Refused("a text with a NUL in it is nothing to look for", code="query.malformed")
    if unknown:
        raise Refused(
            f"the question has a field {unknown[0][:80]!r} that this query service does not know",
            code="query.version",
            hint=f"it speaks protocol {wire.PROTOCOL}: upgrade the control plane, or ask without it",
        )
    return found


def _has_nul(value: object) -> bool:
    """Whether a question, its lists, tables and parts, have a NUL somewhere in a text."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, msgspec.Struct):
        return any(map(_has_nul, msgspec.structs.astuple(value)))
    if isinstance(value, dict):
        return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_nul, value))


def page_limit(wished: int) -> int:
    """How many items a page has at most. Raises Refused (`query.limit`) for less than one."""
    if wished < 1:
        raise Refused(f"limit {wished}: at least 1", code="query.limit")
    return min(wished, wire.MAX_PAGE)


def bounded(items: Iterable[T]) -> tuple[T, ...]:
    """The first items that fit a page; always one, so that every item can be had."""
    page: list[T] = []
    size = 0
    for item in items:
        size += len(msgspec.json.encode(item))
        if page and size > wire.MAX_PAGE_BYTES:
            break
        page.append(item)
    return tuple(page)
