"""The quick ways to canonical bytes give what the reference gives, or step aside for it."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from agentplane.errors import Refused
from agentplane.evidence.strict import bytes_of_plain, read_canonical

PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
ANY = PLAIN | st.lists(st.floats(-(2.0**53) + 1, 2.0**53 - 1) | PLAIN, max_size=4)


@given(value=PLAIN)
@settings(max_examples=300)
def test_plain_values_get_the_bytes_of_the_reference(value: Any) -> None:
    assert bytes_of_plain(value) == rfc8785.dumps(value)


@given(value=ANY)
@settings(max_examples=300)
def test_canonical_bytes_are_read_whatever_they_hold(value: Any) -> None:
    data = rfc8785.dumps(value)
    assert rfc8785.dumps(read_canonical(data)) == data


@given(value=ANY, spaced=st.booleans(), escaped=st.booleans())
@settings(max_examples=300)
def test_nothing_but_canonical_bytes_is_read(value: Any, spaced: bool, escaped: bool) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    data = json.dumps(value, ensure_ascii=escaped, separators=separators).encode("utf-8", "replace")
    try:
        read_canonical(data)
    except Refused:
        assert rfc8785.dumps(value) != data
    else:
        assert rfc8785.dumps(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b"1.0",
        b"1e3",
        b"-0",
        b"9007199254740992",
        b"[1,-9007199254740993]",
        b'{"a":9007199254740992}',
        b"NaN",
        b'"\\ud800"',
        b'"\\u0041"',
        b'"\\/"',
        b"[" * 100_000,
        b"1e999",
    ],
)
def test_what_others_might_read_otherwise_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        read_canonical(data)


def test_a_digest_of_many_digits_is_no_long_number() -> None:
    data = b'{"digest":"sha256:12345678901234567890"}'
    assert read_canonical(data) == {"digest": "sha256:12345678901234567890"}
