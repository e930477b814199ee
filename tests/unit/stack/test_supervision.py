"""Whose process a pid file names."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.stack import supervision
from agentplane.stack.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def process(request: pytest.FixtureRequest, layout: Layout) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has this argument, and the pid file that names it."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    argument = request.param.format(root=layout.root)
    argv = [sys.executable, "-c", code, "-c", argument]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        layout.supervisor_pid.write_text(str(started.pid))
        yield started
        started.communicate()


def test_without_a_pid_file_nothing_runs(layout: Layout) -> None:
    assert supervision.pid(layout) is None


@pytest.mark.parametrize("process", ["{root}/config/supervisord.conf"], indirect=True)
def test_the_supervisor_of_this_directory_is_ours(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    assert supervision.pid(layout) == process.pid


@pytest.mark.parametrize("process", ["/elsewhere/config/supervisord.conf", "supervisor"], indirect=True)
def test_a_number_that_was_given_to_another_process_is_not(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    assert supervision.pid(layout) is None


def test_a_process_that_ended_is_not(layout: Layout) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    layout.supervisor_pid.write_text(str(ended.pid))
    assert supervision.pid(layout) is None
