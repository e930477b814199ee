"""A cluster of another PostgreSQL major than what is installed: refused before anything starts, with both named."""

from pathlib import Path

import pytest

from agentplane.errors import Broken
from agentplane.stack.postgres import binaries, require_same_major


def saying(directory: Path, words: str) -> Path:
    """A directory with a `postgres` of some version."""
    program = directory / "postgres"
    program.write_text(f"#!/bin/sh\necho '{words}'\n")
    program.chmod(0o755)
    return directory


@pytest.mark.parametrize(
    "words",
    ["postgres (PostgreSQL) 17.2 (Debian 17.2-1)", "postgres (PostgreSQL) 17.2", "postgres (PostgreSQL) 17beta1"],
)
def test_the_same_major_is_fine(tmp_path: Path, words: str) -> None:
    require_same_major("17", saying(tmp_path, words))


@pytest.mark.parametrize("made_by", ["15", "1", "170", "9.6"])
def test_another_major_is_refused_with_both_and_a_way_out(tmp_path: Path, made_by: str) -> None:
    installed = saying(tmp_path, "postgres (PostgreSQL) 17.2 (Debian 17.2-1)")
    with pytest.raises(Broken) as caught:
        require_same_major(made_by, installed)
    assert caught.value.code == "postgres.version"
    assert caught.value.exit_status == 8
    assert f"PostgreSQL {made_by}'s" in caught.value.message
    assert "17.2" in caught.value.message
    assert f"PostgreSQL {made_by} first on PATH" in str(caught.value.hint)


def test_what_is_installed_here_is_understood(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"postgres \(PostgreSQL\) 1\d"):
        require_same_major("9.6", binaries())
