"""`agentplane schema`: the same from the command line as in the package."""

import json
from importlib import resources
from typing import Any

import pytest

from agentplane.cli.main import main
from agentplane.domains.documentation import explain

GENERATED = resources.files("agentplane.schemas.generated")
INDEX = json.loads((GENERATED / "index.json").read_bytes())["schemas"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["schema", *arguments, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry["name"])
def test_what_is_printed_is_what_is_in_the_package(entry: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    shipped = json.loads((GENERATED / entry["file"]).read_bytes())
    assert printed(capsys, entry["name"]) == shipped


def test_the_list_has_everything_in_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {(each["name"], each["what"]) for each in printed(capsys, "--list")}
    assert {(each["name"], each["what"]) for each in INDEX} <= listed


def test_nothing_asked_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 2
    assert "--list" in capsys.readouterr().err


def test_limits_are_said_in_words() -> None:
    fields = {
        "name": {"type": "string", "minLength": 1, "maxLength": 120},
        "note": {"type": "string", "default": ""},
        "owner": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 1, "default": []},
        "labels": {"type": "array", "items": {"type": "string"}, "default": ()},
        "off": {"type": "boolean", "default": False},
        "verdict": {"enum": ["PASS", "FAIL"]},
        "grams": {"type": "integer", "exclusiveMinimum": 0, "multipleOf": 5},
        "due": {"type": ["string", "null"], "format": "date"},
        "since": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
        "prices": {"type": "object", "additionalProperties": {"type": "integer"}},
    }
    limits = {field.name: field.limits for field in explain({"type": "object", "properties": fields}, ()).fields}
    assert limits == {
        "name": "at least 1 character, at most 120 characters",
        "note": "default empty",
        "owner": "",
        "tags": "default none, at most 1 item",
        "labels": "default none",
        "off": "default false",
        "verdict": "one of PASS, FAIL",
        "grams": "greater than 0, a multiple of 5",
        "due": "",
        "since": "",
        "prices": "",
    }
    types = {field.name: field.type for field in explain({"type": "object", "properties": fields}, ()).fields}
    assert types["due"] == "string or null"
    assert types["since"] == "date or null"
    assert types["prices"] == "map of integer"
    assert explain({"type": "object", "properties": fields}, ("verdict",)).type == "string"


def test_a_field_is_told_on_stdout_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "organization.tier"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "organization.tier: string (one of community, standard, enterprise, default community)",
        "  How much it may use",
    ]
    assert not said.err
