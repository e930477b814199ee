"""The gate for commands tells what went wrong in words."""

import pytest

from agentplane.errors import Broken
from agentplane.runners.command import last_lines, run


def test_output_is_captured() -> None:
    assert run(["sh", "-c", "echo out; echo err >&2"], timeout_s=10).text == "out"


def test_a_failure_tells_its_last_lines() -> None:
    with pytest.raises(Broken, match="the build ended with status 3\nwhy it failed") as broken:
        run(["sh", "-c", "echo why it failed >&2; exit 3"], timeout_s=10, label="the build", code="nix.build-failed")
    assert broken.value.code == "nix.build-failed"


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Broken, match="no-such-program is not installed"):
        run(["no-such-program"], timeout_s=10)


def test_what_does_not_end_is_ended_and_what_it_said_is_told() -> None:
    for timeout_s in (0.1 * 2**doubled for doubled in range(8)):  # the first that lets it speak before it is ended
        with pytest.raises(Broken, match=rf"did not end within {timeout_s:g} s") as broken:
            run(["sh", "-c", "echo started; exec sleep 60"], timeout_s=timeout_s)
        if str(broken.value).endswith("started"):
            return
    pytest.fail("what it said is not told")


def test_a_status_may_be_asked_for() -> None:
    assert run(["sh", "-c", "exit 4"], timeout_s=10, check=False).status == 4


def test_last_lines_are_few_and_printable() -> None:
    text = last_lines(b"".join(b"%d\x1b[0m\n" % number for number in range(100)) + b"\xff")
    assert text.splitlines()[0] == "81[0m"
    assert text.isprintable() or "\n" in text
