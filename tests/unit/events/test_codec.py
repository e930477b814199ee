"""What was not read of a value is found wherever it stands."""

from typing import Any

import msgspec
import pytest

from agentplane.events.codec import strictly, unknown_fields


class Inner(msgspec.Struct, frozen=True, rename="camel"):
    size_bytes: int
    free: dict[str, Any] = {}


class Outer(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    rows: tuple[Inner, ...] = ()
    listed: list[Inner] = []
    one: Inner | None = None


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ({"name": "x"}, ()),
        ({"name": "x", "more": 1}, ("more",)),
        ({"name": "x", "more": None}, ()),
        ({"name": "x", "one": {"sizeBytes": 1, "more": 1}}, ("one.more",)),
        ({"name": "x", "rows": [{"sizeBytes": 1}, {"sizeBytes": 2, "more": 1}]}, ("rows[1].more",)),
        ({"name": "x", "listed": [{"sizeBytes": 1, "a": 1, "b": 1}]}, ("listed[0].a", "listed[0].b")),
        ({"name": "x", "rows": [{"sizeBytes": 1, "free": {"any": [{"thing": 1}]}}], "one": None}, ()),
        ({"name": "x", "rows": [{"sizeBytes": 1, "more": None}]}, ()),
    ],
)
def test_fields_that_nobody_read_are_named(value: dict[str, Any], paths: tuple[str, ...]) -> None:
    found = msgspec.convert(value, Outer, strict=True)
    assert unknown_fields(value, found) == paths
    if paths:
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            strictly(value, Outer)
    else:
        assert strictly(value, Outer) == found
