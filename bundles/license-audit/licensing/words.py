"""Text reduced to its words, so that line breaks, comment markers and quotes do not matter."""

import re

_NOT_WORDS = re.compile(r"[^a-z0-9+]+")


def words(text: str) -> str:
    """Lower-case words, one blank between them."""
    return _NOT_WORDS.sub(" ", text.lower()).strip()
