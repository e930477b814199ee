"""The only bytes that are hashed or signed: RFC 8785 (JSON Canonicalization Scheme). Pure."""

import hashlib
from typing import Any

import rfc8785

from agentplane.errors import Refused
from agentplane.ids import Digest


def canonical_bytes(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """RFC 8785 bytes of a JSON value.

    Raises:
        Refused: the value has no canonical form (NaN, infinity, an integer beyond 2^53 - 1, a non-string key).
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as exc:
        raise Refused(f"no canonical form: {exc}", code="canonical.unrepresentable") from exc


def digest_bytes(data: bytes) -> Digest:
    """`sha256:<hex>` of raw bytes."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def digest_value(value: Any) -> Digest:  # noqa: ANN401 - any JSON value
    """`sha256:<hex>` of the canonical bytes of a JSON value."""
    return digest_bytes(canonical_bytes(value))
