"""Strict JSON: what is refused, where it says so, and that nothing else is changed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.documents.limits import DEPTH, SAFE_INTEGER
from agentplane.documents.model import Document
from agentplane.documents.parse import parse_document, parse_json
from agentplane.documents.places import Position, pointer
from agentplane.documents.positions import Positions
from agentplane.errors import Refused

BAD = {
    "trailing comma": (b'{"a":1,}', "document.syntax", "f.json:1:8"),
    "comment": (b'{\n  // no\n  "a":1}', "document.syntax", "f.json:2:3"),
    "single quotes": (b"{'a':1}", "document.syntax", "f.json:1:2"),
    "unterminated": (b'{"a":"', "document.syntax", "f.json:1:6"),
    "second value": (b"{} {}", "document.syntax", "f.json:1:4"),
    "escaped quotes without end": (b'{"' + b'\\"' * 200_000, "document.syntax", "f.json:1:2"),
    "NaN": (b'{"a":\n NaN}', "document.number", "f.json:2:2"),
    "Infinity": (b'{"a":[1,-Infinity]}', "document.number", "f.json:1:9"),
    "float that overflows": (b'{"a":1e400}', "document.number", "f.json:1:6"),
    "integer beyond 2^53": (b'{"a":9007199254740992}', "document.number", "f.json:1:6"),
    "integer of a million digits": (b'{"a":' + b"9" * 1_000_000 + b"}", "document.number", "f.json:1:6"),
    "duplicate key": (b'{"a":1,\n "a":2}', "document.duplicate-key", "f.json:2:2"),
    "duplicate key inside": (b'{"x":[{"a":1,"a":2}]}', "document.duplicate-key", "f.json:1:14"),
    "duplicate key by escape": (b'{"a":1,"\\u0061":2}', "document.duplicate-key", "f.json:1:8"),
    "NUL": (b'{"a":"\\u0000"}', "document.string", "f.json:1:6"),
    "NUL in a key": (b'{"\\u0000":1}', "document.string", "f.json:1:11"),
    "half a surrogate pair": (b'{"a":"\\ud800"}', "document.string", "f.json:1:6"),
    "too deep": (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", "document.too-deep", "f.json:1:69"),
    "deep enough to end a parser": (b"[" * 500_000, "document.too-deep", "f.json:1:65"),
    "list": (b"[]", "document.root", "f.json:1:1"),
    "null": (b"null", "document.root", "f.json:1:1"),
    "nothing": (b" \n", "document.empty", "f.json"),
    "Latin-1": (b'{"a":\n "\xe9"}', "document.encoding", "f.json:2:3"),
    "UTF-16": ('{"a":1}'.encode("utf-16"), "document.encoding", "f.json:1:1"),
    "too large": (b'{"a":"' + b"x" * (1 << 20) + b'"}', "document.too-large", "f.json"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name_and_place(name: str) -> None:
    data, code, where = BAD[name]
    with pytest.raises(Refused) as caught:
        parse_json(data, "f.json")
    assert (caught.value.code, caught.value.where) == (code, where)
    assert caught.value.hint
    assert len(str(caught.value)) < 300


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a":1}', "f.json").value == {"a": 1}


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_json(b'{"a":"\\ud83d\\ude00"}', "f.json").value == {"a": "\U0001f600"}


def test_the_deepest_allowed_nesting_parses() -> None:
    data = b'{"a":' * DEPTH + b"1" + b"}" * DEPTH
    assert parse_json(data, "f.json").value


@pytest.mark.parametrize(("name", "syntax"), [("x.json", "json"), ("x.yaml", "yaml"), ("x", "json"), ("x.yml", "yaml")])
def test_the_name_or_the_first_character_says_the_syntax(name: str, syntax: str) -> None:
    assert parse_document(b'{"a": 1}', name).syntax == syntax


def test_text_without_a_telling_name_is_yaml() -> None:
    assert parse_document(b"a: 1", "x").value == {"a": 1}


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
leaves = st.none() | st.booleans() | st.integers(-SAFE_INTEGER, SAFE_INTEGER) | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
documents = st.dictionaries(texts, values, max_size=4)


@given(value=documents, indent=st.sampled_from([None, 1, 3]), ascii_only=st.booleans())
def test_what_the_standard_library_writes_is_read_unchanged(
    value: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert parse_json(data, "f.json").value == value


@given(documents, st.sampled_from([None, 2]))
def test_every_value_is_at_its_position(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    positions = Positions(parse_json(text.encode(), "f.json"))
    lines = text.split("\n")
    for path, item in _leaves(value, ()):
        position = positions.find(pointer(*path))
        assert position is not None
        there = lines[position.line - 1][position.column - 1 :]
        assert there.startswith(json.dumps(item, ensure_ascii=False))


@given(st.binary(max_size=60) | st.text('{}[],:"\\ \n0a1e-.', max_size=40).map(str.encode))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    assert _read(data) in (json_or_none(data), None)


def _read(data: bytes) -> dict[str, Any] | None:
    try:
        return parse_json(data, "f.json").value
    except Refused:
        return None


def json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None


def test_a_missing_place_has_its_parents_position() -> None:
    positions = Positions(parse_json(b'{\n "a": {"b": 1}}', "f.json"))
    assert positions.find("/a/zz/y") == Position(2, 7)


def test_data_has_no_positions() -> None:
    assert Positions(Document.of({"a": 1}, "intent")).find("/a") is None


def _deep(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return {"a": value}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (_deep(5000), "document.too-deep"),
        ({"a": [2**53]}, "document.number"),
        ({"a": float("nan")}, "document.number"),
        ({"a": "\x00"}, "document.string"),
        ({"a": {"\ud800": 1}}, "document.string"),
    ],
)
def test_data_is_held_to_the_same_limits(value: dict[str, Any], code: str) -> None:
    with pytest.raises(Refused) as caught:
        Document.of(value, "intent")
    assert caught.value.code == code


def _leaves(value: Any, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, (*path, index))]
    return [] if isinstance(value, dict | list) else [(path, value)]
