"""A place in the log that cannot be read is said with the option that it was given to; lists are told line by line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from agentplane.cli.main import cli, main


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["eval", "completion", "--since"], "--since"),
        (["eval", "report", "--until"], "--until"),
        (["projections", "rows", "organizations", "--at"], "--at"),
    ],
)
def test_the_option_that_was_wrong_is_named(
    command: list[str], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state-dir", str(tmp_path), *command, "yesterdayish"]) == 2
    said = capsys.readouterr().err
    assert option in said
    assert "history.place" in said


@pytest.mark.parametrize("option", ["--id", "--correlation", "--caused-by"])
@pytest.mark.parametrize("word", ["x" * 513, "a\nb"])
def test_an_event_by_hand_has_ids_that_an_import_takes(
    option: str, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--state-dir", str(tmp_path), "events", "append", "bead.created", "--data", "{}", option]
    assert main([*command, word]) == 2
    said = capsys.readouterr().err
    assert option in said
    assert "512 printable characters" in said
    assert main([*command, "x" * 512]) != 0  # no agentplane there: it got past the ids
    assert "512 printable characters" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [["executor", "list"], ["projections", "status"]])
def test_lists_of_the_plane_itself_come_line_by_line(command: list[str]) -> None:
    result = CliRunner().invoke(cli, [*command, "-o", "jsonl", "--help"])
    assert result.exit_code == 0
    assert "jsonl: an object a line" in " ".join(result.output.split())
