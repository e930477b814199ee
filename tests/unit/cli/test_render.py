"""What others wrote is shown, and commands nobody's terminal."""

import pytest

from agentplane.cli import render


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[2J\x1b]0;mine\x07", "\\x1b[2J\\x1b]0;mine\\x07"),
        ("a\tb\rc\x00", "a\\tb\\rc\\x00"),
        ("\x9b31m \x85", "\\x9b31m \\x85"),
        ("abc\u202edcba", "abc\\u202edcba"),
        ("Nörd 漢字 🚀", "Nörd 漢字 🚀"),
    ],
)
def test_control_characters_are_shown_as_escapes(written: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    render.table(["title"], [(written,)], empty="")
    render.say(written)
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].strip() == shown
    assert said.err.strip() == shown


def test_no_color_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert render.coloured("no", "red") == "\x1b[31mno\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert render.coloured("no", "red", bold=True) == "no"


def shown_at(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    rows = [("work_verifications", "live", 22241, "-", "354.7", "it waits before an event of a newer program")]
    render.table(["projection", "state", "position", "building", "events/s", "message"], rows, empty="")
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [40, 60, 80])
def test_no_number_is_shown_in_pieces(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown_at(width, monkeypatch, capsys).splitlines()
    (row,) = (line.split() for line in lines if line.startswith("work_verifications"))
    assert row[:4] == ["work_verifications", "live", "22241", "354.7"]
    assert "building" not in lines[0]  # nothing stands there


def test_everything_is_shown_where_it_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = shown_at(120, monkeypatch, capsys)
    assert "building" in shown
    assert "it waits before an event of a newer program" in shown
