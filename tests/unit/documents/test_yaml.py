"""Strict YAML: the same value as the same JSON, and none of YAML 1.1's surprises."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given

from agentplane.documents.parse import parse_yaml
from agentplane.documents.places import Position
from agentplane.documents.positions import Positions
from agentplane.errors import Refused
from tests.unit.documents.test_json import documents

BILLION_LAUGHS = b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"

BAD = {
    "duplicate key": (b"a: 1\na: 2", "document.duplicate-key", "f.yaml:2:1"),
    "billion laughs": (BILLION_LAUGHS, "document.yaml-alias", "f.yaml:1:4"),
    "alias": (b"a: *b", "document.yaml-alias", "f.yaml:1:4"),
    "merge key": (b"a: {<<: {b: 1}}", "document.yaml-alias", "f.yaml:1:5"),
    "python tag": (b"a: !!python/object/apply:os.system [id]", "document.yaml-tag", "f.yaml:1:4"),
    "standard tag": (b"a: !!str 1", "document.yaml-tag", "f.yaml:1:4"),
    "tagged key": (b"!!str a: 1", "document.yaml-tag", "f.yaml:1:1"),
    "two documents": (b"a: 1\n---\nb: 2", "document.yaml-documents", "f.yaml:2:1"),
    "number as key": (b"1: a", "document.key", "f.yaml:1:1"),
    "list as key": (b"? [a]\n: 1", "document.key", "f.yaml:1:3"),
    "not a number": (b"a: .nan", "document.number", "f.yaml:1:4"),
    "infinity": (b"a: -.inf", "document.number", "f.yaml:1:4"),
    "large integer": (b"a: 9007199254740992", "document.number", "f.yaml:1:4"),
    "unclosed": (b"a: [1,\n", "document.syntax", "f.yaml:2:1"),
    "tab": (b"a:\n\t- b", "document.syntax", "f.yaml:2:1"),
    "control character": (b'a: "\x01"', "document.syntax", "f.yaml:1:5"),
    "NUL": (b'a: "\\0"', "document.string", "f.yaml:1:4"),
    "too deep": (b"a: " + b"[" * 64 + b"]" * 64, "document.too-deep", "f.yaml:1:67"),
    "only a comment": (b"# nothing", "document.root", "f.yaml:1:1"),
    "list": (b"- a", "document.root", "f.yaml:1:1"),
    "Latin-1": (b"a: \xe9", "document.encoding", "f.yaml:1:4"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_by_name_and_place(name: str) -> None:
    data, code, where = BAD[name]
    with pytest.raises(Refused) as caught:
        parse_yaml(data, "f.yaml")
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    "text",
    ["no", "on", "Yes", "0777", "0x1F", "1_000", "12:30", "2026-01-31", "2026-01-31T00:00:00Z", ".5", "+1", "1."],
)
def test_what_yaml_1_1_would_change_stays_a_string(text: str) -> None:
    assert parse_yaml(f"a: {text}".encode(), "f.yaml").value == {"a": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("null", None), ("~", None), ("", None), ("-7", -7), ("1.5", 1.5), ("2e3", 2000.0), ('"7"', "7")],
)
def test_json_words_and_numbers_are_what_they_are_in_json(text: str, value: Any) -> None:
    found = parse_yaml(f"a: {text}".encode(), "f.yaml").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_positions_are_those_of_the_text() -> None:
    positions = Positions(parse_yaml(b"spec:\n  mounts:\n    - ro: yes\n", "f.yaml"))
    assert positions.find("/spec/mounts/0/ro") == Position(3, 11)


@given(documents)
def test_what_a_yaml_library_writes_quoted_is_read_unchanged(value: dict[str, Any]) -> None:
    text = yaml.safe_dump(value, default_style='"', default_flow_style=False)
    # that style tags what is no string; those documents are another test's
    if "!!" not in text:
        assert parse_yaml(text.encode(), "f.yaml").value == value


@given(documents)
def test_printable_json_is_yaml(value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False)
    # YAML has no surrogate escapes, and wants what is not printable escaped its own way
    if all(character.isprintable() for character in text):
        assert parse_yaml(text.encode(), "f.yaml").value == value
