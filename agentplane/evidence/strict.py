"""Strict reading of signed JSON: bytes that are not in RFC 8785 form are refused before anybody looks inside. Pure.

Two readers could see two different documents in bytes with duplicate keys or odd numbers. One form leaves no room.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
import orjson

from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused

_SORTED: Final = msgspec.json.Encoder(order="sorted")


def bytes_of_plain(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    """RFC 8785 bytes of a value that is known to hold no fraction and no number beyond 2^53 - 1."""
    data = _SORTED.encode(value)
    # Only names beyond ASCII are sorted otherwise by RFC 8785 (by UTF-16) than by the encoder.
    return data if data.isascii() else canonical_bytes(value)


def read_canonical(data: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in canonical bytes, fractions allowed.

    Raises:
        Refused: code `evidence.form`.
    """
    try:
        value, canonical = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused("not JSON", code="evidence.form") from exc
    if canonical != data:
        raise Refused("not in canonical form (RFC 8785)", code="evidence.form")
    return value


def _decode(data: bytes) -> tuple[Any, bytes]:
    try:
        value = _PLAIN.decode(data)
    except msgspec.ValidationError:  # it holds a fraction
        value = msgspec.json.decode(data)
        return value, canonical_bytes(value)
    return value, _SORTED.encode(value) if _is_simple(data, value) else canonical_bytes(value)


def _is_simple(data: bytes, value: Any) -> bool:  # noqa: ANN401
    """Whether a sorted compact encoder is exact for a value without fractions: ASCII, no number beyond 2^53 - 1."""
    if not data.isascii():
        return False
    try:
        orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        return False
    return True


def refuse_float(literal: str) -> float:
    """Refuse every fraction: no two writers agree on how to print them."""
    raise ValueError(f"a number with a fraction or exponent: {literal[:40]}")


_PLAIN: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(float_hook=refuse_float)


class StrictReader:
    """Decodes canonical JSON into one Struct type. Reusable; a decoder costs more to make than to use."""

    def __init__(
        self, struct: type[msgspec.Struct], *, untyped: Callable[[Any], Any], code: str, max_bytes: int
    ) -> None:
        """Take the type, and which part of it may hold anything. Bounds of typed integers are the type's own."""
        self._untyped = untyped
        self._typed: msgspec.json.Decoder[Any] = msgspec.json.Decoder(struct, float_hook=refuse_float)
        self._code = code
        self._max_bytes = max_bytes

    def read(self, data: bytes) -> Any:  # noqa: ANN401 - the Struct given to the constructor
        """The document in `data`.

        Raises:
            Refused: the reader's code: too large, not JSON, not of the form, or not its own RFC 8785 bytes.
        """
        if len(data) > self._max_bytes:
            raise Refused(f"{len(data)} bytes, more than {self._max_bytes}", code=self._code)
        try:
            value = self._typed.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Refused(f"not of the form: {exc}", code=self._code) from exc
        if not self._is_canonical(data, value):
            raise Refused("not in canonical form (RFC 8785)", code=self._code)
        return value

    def _is_canonical(self, data: bytes, value: msgspec.Struct) -> bool:
        if _is_simple(data, self._untyped(value)):
            return _SORTED.encode(value) == data
        return canonical_bytes(msgspec.json.decode(data)) == data
