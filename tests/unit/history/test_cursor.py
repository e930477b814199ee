"""A cursor is replaced whole or not at all, and what is none is refused."""

from pathlib import Path

import pytest

from agentplane.cli.events_tail import read_cursor, write_cursor
from agentplane.errors import Refused


def test_a_cursor_is_read_as_it_was_written(tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    assert read_cursor(cursor) is None
    for sequence in (0, 7, 2**63 - 1):
        write_cursor(cursor, sequence)
        assert read_cursor(cursor) == sequence
    assert [each.name for each in tmp_path.iterdir()] == ["cursor"]


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"1.5", b"\xff", b"9" * 40, b"1 2"])
def test_what_is_no_cursor_is_refused(tmp_path: Path, content: bytes) -> None:
    cursor = tmp_path / "cursor"
    cursor.write_bytes(content)
    with pytest.raises(Refused) as caught:
        read_cursor(cursor)
    assert caught.value.code == "events.cursor"


def test_a_cursor_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        write_cursor(tmp_path / "missing" / "cursor", 1)
    assert caught.value.code == "events.cursor"
