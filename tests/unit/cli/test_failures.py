"""Errors of the command line: a sentence with a code, data where data was asked for, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentplane.cli import bundles
from agentplane.cli.main import main
from agentplane.errors import NotFound
from agentplane.evidence.export_file import read_export

COMMAND = (sys.executable, "-c", "import sys; from agentplane.cli.main import main; sys.exit(main())")
BUNDLE = Path(__file__).parents[3] / "bundles" / "example-agent"


@pytest.mark.parametrize(
    ("argv", "status", "code"),
    [
        (["validate", "no-such-thing", "-o", "json"], 2, "document.missing"),
        (["validate", "x" * 5000, "-o", "json"], 2, "document.missing"),
        (["get", "runs", "-o", "json"], 2, "context.missing"),
        (["describe", "run", "a", "-o", "json"], 2, "context.missing"),
        (["explain", "a", "-o", "json"], 2, "context.missing"),
        (["events", "list", "-o", "json"], 2, "context.missing"),
        (["events", "why", "1", "-o", "json"], 2, "context.missing"),
        (["doctor", "--fleet", "--json"], 2, "context.missing"),
        (["evidence", "show", "a", "-o", "json"], 2, "evidence.key.missing"),
        (["events", "schema", "nope.happened", "-o", "json"], 3, "event.type-unknown"),
        (["events", "schema", "work_order.creatde", "-o", "json"], 3, "event.type-unknown"),
        (["get", "runs", "-o", "json", "--limit", "many"], 2, "usage"),
        (["get", "runs", "--limit", "many", "-o", "json"], 2, "usage"),
    ],
)
def test_an_error_is_data_where_data_was_asked_for(
    argv: list[str], status: int, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state-dir", str(tmp_path / "nowhere"), *argv]) == status
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["code"] == code
    assert "Traceback" not in said.err
    assert said.err


def test_people_get_their_errors_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "no-such-thing"]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert "[document.missing]" in said.err


def test_a_defect_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def defective(_: Path) -> None:
        raise KeyError("spec")

    monkeypatch.delenv("AGENTPLANE_DEBUG", raising=False)
    monkeypatch.setattr(bundles, "judge", defective)
    assert main(["validate", "any", "-o", "json"]) == 8
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "cli.defect"


def test_a_system_error_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device", "/somewhere")

    monkeypatch.delenv("AGENTPLANE_DEBUG", raising=False)
    monkeypatch.setattr(bundles, "judge", full)
    assert main(["validate", "any"]) == 8
    assert "/somewhere: No space left on device [host.refuses]" in capsys.readouterr().err


def test_a_run_name_given_for_an_export_is_told_to_export_first(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        read_export(tmp_path / "noop-4bc55561946a")
    assert caught.value.code == "evidence.export.missing"
    assert "agentplane evidence export RUN --to DIR" in (caught.value.hint or "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    with subprocess.Popen(
        [*COMMAND, "validate", str(BUNDLE), "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Traceback" not in said
    assert "Exception ignored" not in said
