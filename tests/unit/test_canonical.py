"""Canonical bytes are RFC 8785's, whichever way they are made."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
    max_leaves=20,
)


@given(values)
def test_equals_the_reference(value: Any) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), st.text(st.characters(max_codepoint=0x2FFF))))
def test_equals_the_reference_on_control_characters_and_ascii_keys(value: dict[str, str]) -> None:
    assert canonical_bytes(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), float("nan"), float("inf"), {1: "a"}, {"a": {2: 3}}, "\ud800", b"x"]
)
def test_refuses_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(Refused) as caught:
        canonical_bytes({"deep": [value]})
    assert caught.value.code == "canonical.unrepresentable"


def test_utf_16_key_order() -> None:
    # U+FB33 sorts after U+1F600, whose first UTF-16 unit is D83D
    assert list(json.loads(canonical_bytes({"\ufb33": 1, "\U0001f600": 2}))) == ["\U0001f600", "\ufb33"]
