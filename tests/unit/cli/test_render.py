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
