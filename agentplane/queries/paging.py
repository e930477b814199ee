"""Reading questions and bounding answers: what every part of the query service does alike. Pure."""

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from agentplane.errors import Refused
from agentplane.queries import protocol as wire

T = TypeVar("T")


def question(data: bytes, type_: type[T]) -> T:
    """The question in a request's body.

    Raises:
        Refused: codes `query.too-large`, `query.malformed`.
    """
    if len(data) > wire.MAX_REQUEST_BYTES:
        raise Refused(f"a question of {len(data)} bytes", code="query.too-large")
    try:
        return msgspec.json.decode(data or b"{}", type=type_)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise Refused(f"not a question: {exc}", code="query.malformed") from exc


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
