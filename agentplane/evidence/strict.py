"""Strict reading of signed JSON: bytes that are not in RFC 8785 form are refused before anybody looks inside. Pure.

Two readers could see two different documents in bytes with duplicate keys or odd numbers. One form leaves no room.
"""

import re
from typing import Any, Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused

# A run of digits that may be a number beyond 2^53 - 1, where encoders start to differ.
_LONG_NUMBER: Final = re.compile(rb"[:,\[]-?[0-9]{16}")


_SORTED: Final = msgspec.json.Encoder(order="sorted")


def bytes_of_read(value: dict[str, Any]) -> bytes:
    """RFC 8785 bytes of a value that a `StrictReader` has read, so that it holds no fraction and no long number."""
    data = _SORTED.encode(value)
    # Only names beyond ASCII are sorted otherwise by RFC 8785 (by UTF-16) than by the encoder.
    return data if data.isascii() else canonical_bytes(value)


def refuse_float(literal: str) -> float:
    """Refuse every fraction: no two writers agree on how to print them."""
    raise ValueError(f"a number with a fraction or exponent: {literal[:40]}")


class StrictReader:
    """Decodes canonical JSON into one Struct type. Reusable; a decoder costs more to make than to use."""

    def __init__(self, struct: type[msgspec.Struct], *, code: str, max_bytes: int) -> None:
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
        # For ASCII without floats and without long numbers a sorted compact encoder is exact;
        # what is left (names of people, big numbers) takes the slow and certain way.
        if data.isascii() and not _LONG_NUMBER.search(data):
            return _SORTED.encode(value) == data
        return canonical_bytes(msgspec.json.decode(data)) == data
