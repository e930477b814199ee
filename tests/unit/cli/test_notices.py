"""A word on stderr, once, about the read model that an answer is from; stdout stays data."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from agentplane.cli.main import main
from agentplane.cli.notices import Notices, heard
from agentplane.queries.hearing import listening, tell

NOTICE = {"projection": "runs", "state": "upgrading", "message": "version 2 is built,\n43 %", "percent": 43}


def said(*notices: object) -> bytes:
    return json.dumps(notices).encode()


def test_each_state_is_said_once_in_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    notices = Notices()
    with listening(notices.hear):
        tell(said(NOTICE))
        tell(said({**NOTICE, "percent": 44}))
        tell(b"")
        tell(said({**NOTICE, "state": "stopped", "message": "before event 9 \x1b[2J"}))
    tell(said({**NOTICE, "projection": "nobody listens"}))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "note: read model runs, upgrading: version 2 is built, 43 %",
        "note: read model runs, stopped: before event 9 \\x1b[2J",
    ]
    assert [each["state"] for each in notices.heard] == ["stopped"]


@pytest.mark.parametrize("given", [b"nonsense", b"{}", b"[1, null]", b'"text"'])
def test_what_is_no_notice_is_passed_over(given: bytes) -> None:
    notices = Notices()
    notices.hear(given)
    assert notices.heard == []


def test_an_answer_of_ours_has_them_as_a_field() -> None:
    notices = Notices()

    @click.command()
    @click.pass_context
    def command(ctx: click.Context) -> None:
        tell(said(NOTICE))
        click.echo(json.dumps({"run": "x", **heard(ctx)}))

    with listening(notices.hear):
        answer: Any = CliRunner().invoke(command, obj={"notices": notices})
    assert json.loads(answer.stdout) == {"run": "x", "notices": [NOTICE]}


def test_an_error_has_them_as_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def missing(*_: object, **__: object) -> None:
        from agentplane.errors import NotFound

        tell(said(NOTICE))
        raise NotFound("no run 'x'", code="run.unknown")

    monkeypatch.setattr("agentplane.cli.get.ask", missing)
    assert main(["--state-dir", str(tmp_path), "explain", "x", "-o", "json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["notices"] == [NOTICE]
    assert err.startswith("note: read model runs, upgrading: ")
