"""Recording, catalogue and evaluation at the command line, as far as no stack is needed."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from agentplane.cli.main import main
from agentplane.cli.views import span
from agentplane.domains.work.catalogue import DATA
from agentplane.errors import Refused

GOOD = '{"work_order_id": "wo-1", "title": "t"}'


def answered(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, str]]:
    status = main([*words, "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    return status, found.get("error", found)


def test_the_catalogue_is_listed_whole_and_by_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "types", "-o", "json"]) == 0
    assert {each["type"] for each in json.loads(capsys.readouterr().out)} >= set(DATA)
    assert main(["events", "types", "mail", "-o", "json"]) == 0
    assert {each["family"] for each in json.loads(capsys.readouterr().out)} == {"mail"}
    assert main(["events", "types", "male"]) == 3


def test_a_type_s_schema_is_the_same_by_both_commands(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for words in (["events", "schema", "verify.verdict"], ["schema", "verify.verdict"]):
        assert main([*words, "-o", "json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["title"] == "verify.verdict"
    assert main(["schema", "verify.verdict.reasoning"]) == 0
    assert main(["schema", "verify.verdikt"]) == 3
    assert "verify.verdict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["work_order.craeted", "--data", GOOD], 3, "event.type-unknown"),
        (["work_order.created", "--data", '{"work_order_id": "w"}'], 2, "event.data-invalid"),
        (["work_order.created", "--data", "[1]"], 2, "event.data-invalid"),
        (["work_order.created", "--data", "{"], 2, "event.data-invalid"),
        (["work_order.created", "--data", GOOD, "--time", "soon"], 2, "event.time"),
        (["work_order.created", "--data", GOOD, "--actor", "controller:runs"], 2, "intent.actor"),
        (["run.placed", "--data", "{}"], 2, "event.type-reserved"),
        (["organization.activated", "--data", "{}"], 2, "event.type-reserved"),
        (["metrics.snapshot", "--data", '{"counters": {"a": 1.5}}'], 2, "event.data-invalid"),
        (["work_order.created"], 2, "usage"),
        (["work_order.created", "--data", GOOD, "-f", "x"], 2, "usage"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_anything_is_asked(
    words: list[str], status: int, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, error = answered(capsys, "events", "append", *words)
    assert (found, error["code"]) == (status, code)


def test_data_may_stand_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data.json"
    file.write_text('{"work_order_id": "wo-1", "titel": "t"}')
    status, error = answered(capsys, "events", "append", "work_order.created", "-f", str(file))
    assert (status, "'title'" in error["message"]) == (2, True)


@pytest.mark.parametrize("word", ["completion", "gupp", "verify-accuracy", "report"])
def test_evaluation_needs_a_stack_and_says_so(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--state-dir", str(tmp_path), "eval", word]) == 2
    assert "context.missing" in capsys.readouterr().err


def test_spans() -> None:
    assert [span(text) for text in ("90s", "15m", "2h", "1d")] == [
        timedelta(seconds=90),
        timedelta(minutes=15),
        timedelta(hours=2),
        timedelta(days=1),
    ]
    with pytest.raises(Refused):
        span("soon")
