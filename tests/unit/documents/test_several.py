"""Several documents in one text: each alone, at its place in the file."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from agentplane.documents import several
from agentplane.documents.edge import read_documents
from agentplane.documents.positions import Positions
from agentplane.documents.several import parse_documents
from agentplane.errors import Refused

TWO = b"# first\na: 1\n---\n# nothing\n---\nb:\n  c: 'x\n    --- y'\n...\n---   \n"


def test_documents_are_told_apart_and_keep_their_lines() -> None:
    first, second = parse_documents(TWO, "f.yaml")
    assert (first.value, second.value) == ({"a": 1}, {"b": {"c": "x --- y"}})
    where = Positions(second).find("/b/c")
    assert where is not None
    assert (where.line, where.column) == (7, 6)


def test_a_document_on_the_line_of_its_marker_is_taken() -> None:
    assert [each.value for each in parse_documents(b"--- {a: 1}\n--- {b: 2}\n", "x")] == [{"a": 1}, {"b": 2}]
    assert [each.value for each in parse_documents(b"---\r\na: 1\r\n---\r\nb: 2\r\n", "x")] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (b"a: 1\n---\n\nb: [1\n---\nc: 2\n", "document.syntax", "f.yaml:5:1"),
        (b"a: 1\n---\nb: &x 2\n", "document.yaml-alias", "f.yaml:3:4"),
        (b"a: 1\n---\n- b\n", "document.root", "f.yaml:3:1"),
        (b"---\n# nothing\n---\n", "document.empty", "f.yaml"),
        (b"a: 1\n---\nb: 2\n...\nc: 3\n", "document.syntax", "f.yaml:5:1"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(data: bytes, code: str, where: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_documents(data, "f.yaml")
    assert refused.value.code == code
    assert str(refused.value.where) == where


LISTS = {
    "array": b'[\n  {"a": 1},\n  {"b":\n    {"c": "]\\n{"}}\n]\n',
    "lines": b'{"a": 1}\n\n    {"b":\n    {"c": "]\\n{"}}\n',
    "with-mark": b'\xef\xbb\xbf[{"a": 1},\n\n    {"b":\n    {"c": "]\\n{"}}]',
}


@pytest.mark.parametrize("data", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ["f.json", "f.jsonl", "the standard input"])
def test_json_may_list_documents_and_each_keeps_its_place(data: bytes, name: str) -> None:
    first, second = parse_documents(data, name)
    assert (first.value, second.value) == ({"a": 1}, {"b": {"c": "]\n{"}})
    where = Positions(second).find("/b/c")
    assert where is not None
    assert (where.line, where.column) == (4, 11)


@pytest.mark.parametrize(
    ("data", "code", "where"),
    [
        (b'[{"a": 1}, 2]', "document.root", "f.json:1:1"),
        (b'[{"a": 1}', "document.syntax", "f.json:1:10"),
        (b'{"a": 1}\n{"b"', "document.syntax", "f.json:2:1"),
        (b'{"a": 1}\n{"b": 1, "b": 2}', "document.duplicate-key", "f.json:2:10"),
        (b'[{"a": 1},\n {"b": NaN}]', "document.number", "f.json:2:8"),
        (b'[{"a": ' + b"[" * 100_000, "document.too-deep", None),
    ],
)
def test_what_is_wrong_in_a_list_is_told_at_its_place(data: bytes, code: str, where: str | None) -> None:
    with pytest.raises(Refused) as refused:
        parse_documents(data, "f.json")
    assert refused.value.code == code
    assert where is None or str(refused.value.where) == where


def test_json_is_one_document_whatever_stands_in_it() -> None:
    assert [each.value for each in parse_documents(b'{"a": "\\n---\\n"}', "f.json")] == [{"a": "\n---\n"}]


def test_too_many_documents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "DOCUMENTS", 3)
    assert len(parse_documents(b"---\na: 1\n" * 3, "f.yaml")) == 3
    with pytest.raises(Refused, match="more than 3"):
        parse_documents(b"---\na: 1\n" * 4, "f.yaml")


def test_one_document_of_several_may_not_be_larger_than_one_alone() -> None:
    with pytest.raises(Refused, match="more than") as refused:
        parse_documents(b"a: 1\n---\nb: " + b"x" * (1 << 20), "f.yaml")
    assert refused.value.code == "document.too-large"


def test_the_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(TWO)))
    assert [each.origin for each in read_documents(Path("-"))] == ["the standard input"] * 2
