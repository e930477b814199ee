"""Spans of time as people write them: `90s`, `15m`, `1d12h`. Pure."""

import re
from datetime import timedelta
from typing import Final

_SECONDS: Final = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_SPAN: Final = re.compile(r"(?:\d{1,9}(?:w|d|h|ms|m|s))+")
_PART: Final = re.compile(r"(\d+)(w|d|h|ms|m|s)")


def parse_span(text: str) -> timedelta | None:
    """A span; None: the text is none, or one longer than a timedelta can say."""
    if not _SPAN.fullmatch(text):
        return None
    try:
        return timedelta(seconds=sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(text)))
    except OverflowError:
        return None
