"""The only bytes that are hashed or signed: RFC 8785 (JSON Canonicalization Scheme). Pure.

orjson with sorted keys writes the very same bytes for JSON without floats, with ASCII keys and integers up to 2^53 - 1,
ten times faster; `_is_plain` tells such values. All others go through the reference implementation.
"""

import hashlib
from typing import Any, Final

import orjson
import rfc8785

from agentplane.errors import Refused
from agentplane.ids import Digest

MAX_INTEGER: Final = 2**53 - 1


def canonical_bytes(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """RFC 8785 bytes of a JSON value.

    Raises:
        Refused: the value has no canonical form (NaN, infinity, an integer beyond 2^53 - 1, a non-string key).
    """
    if _is_plain(value):
        try:
            return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:
            pass  # a lone surrogate, or nesting beyond orjson's: the reference decides
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as exc:
        raise Refused(f"no canonical form: {exc}", code="canonical.unrepresentable") from exc


def _is_plain(value: object) -> bool:
    """Exact types only: a subclass may print itself differently."""
    pending = [value]
    while pending:
        each = pending.pop()
        kind = type(each)
        if kind is dict:
            for key, inner in each.items():  # type: ignore[attr-defined]
                if type(key) is not str or not key.isascii():
                    return False
                if type(inner) is not str:
                    pending.append(inner)
        elif kind is list or kind is tuple:
            pending.extend(each)  # type: ignore[arg-type]
        elif kind is int:
            if not -MAX_INTEGER <= each <= MAX_INTEGER:  # type: ignore[operator]
                return False
        elif kind is not str and kind is not bool and each is not None:
            return False
    return True


def digest_bytes(data: bytes) -> Digest:
    """`sha256:<hex>` of raw bytes."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_value(value: Any) -> Digest:  # noqa: ANN401 - any JSON value
    """`sha256:<hex>` of the canonical bytes of a JSON value."""
    return digest_bytes(canonical_bytes(value))
