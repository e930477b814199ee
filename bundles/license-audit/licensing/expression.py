"""SPDX licence expressions, read leniently: real files hold `GPLv3`, `MIT/Apache-2.0` and worse.

Grammar: SPDX specification 2.3, annex D. An exception after WITH is part of what it modifies.
"""

import re

_OPERATOR = re.compile(r"\s+(?:AND|OR)\s+|[()/,;|]", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*(?:\s+WITH\s+[A-Za-z0-9.-]+)?", re.IGNORECASE)
_AGPL = re.compile(r"(?<![a-z])agpl|affero", re.IGNORECASE)
MAX_IDENTIFIER_LENGTH = 80


def identifiers(expression: str) -> tuple[str, ...]:
    """The licences that an expression names, sorted; free text stays one identifier."""
    parts = (part.strip() for part in _OPERATOR.split(expression))
    return tuple(sorted({part[:MAX_IDENTIFIER_LENGTH] for part in parts if part}))


def is_expression(text: str) -> bool:
    """Whether the text is made of identifiers and operators alone, as a tag's value must be."""
    parts = [part.strip() for part in _OPERATOR.split(text.strip()) if part.strip()]
    return bool(parts) and all(_IDENTIFIER.fullmatch(part) for part in parts)


def is_agpl(identifier: str) -> bool:
    """Whether an identifier or a licence's name is one of the Affero family, whatever its version.

    An offer of something else beside it (`MIT OR AGPL-3.0-only`) changes nothing here: it is found, and people decide.
    """
    return bool(_AGPL.search(identifier))
