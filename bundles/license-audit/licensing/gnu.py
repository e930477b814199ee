"""The GNU family's names as people write them, and their SPDX identifiers."""

import re

# Words that lead from a licence's name to its identifier; the longest name first.
_FAMILY = (("affero", "AGPL"), ("lesser", "LGPL"), ("library", "LGPL"), ("", "GPL"))
_VERSION = re.compile(r"\b(?:version|v) ?(\d)(?: (\d))?\b")
_DATE = r"\d{1,2} [a-z]+ \d{4}"
VERSION_LINE = re.compile(rf"version \d(?: \d)?(?: {_DATE})?")
# A heading in words: nothing before the name, at most a version and its date after it.
TITLE = re.compile(
    r"(?:the )?(?:gnu )?(affero |lesser |library )?general public license(?: \w*gpl)?"
    rf"(?: v(?:ersion)? ?\d(?: \d)?(?: {_DATE})?)?",
)


def identifier(name: str, context: str) -> str:
    """The identifier for a licence's name, with the version that the words around it give."""
    family = next(code for word, code in _FAMILY if word in name)
    version = _VERSION.search(context)
    if version is None:
        return family
    number = f"{version[1]}.{version[2] or '0'}"
    later = "or later" in context or "any later version" in context
    return f"{family}-{number}-{'or-later' if later else 'only'}"
