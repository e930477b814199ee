"""Ctrl-C, as a terminal sends it, in every command that waits or follows: one line for people, 130, nothing broken."""

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentplane.stack.ports import load_ports
from tests.stack.plane import COMMAND, ROOT, Plane, awaited
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

Command = subprocess.Popen[str]


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Commands know Ctrl-C also where these tests run in a shell's background, which has it ignored and inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def begun(plane: Plane, *arguments: str | Path) -> Iterator[Command]:
    """A command in a process group of its own, as a shell starts one."""
    environment = {**os.environ, "AGENTPLANE_STATE_DIR": str(plane.layout.root)}
    command = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
    with command:
        yield command
        command.kill()


def interrupted(command: Command, *, times: int = 1) -> list[str]:
    """What it says from Ctrl-C on, without the line break after the terminal's own ^C."""
    for _ in range(times):
        os.killpg(command.pid, signal.SIGINT)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 130, said
    return [line for line in said.splitlines() if line]


def until_said(command: Command, words: str) -> None:
    assert command.stderr is not None
    for line in command.stderr:
        if words in line:
            return
    raise AssertionError(f"it ended without saying {words!r}")


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_a_run_goes_on_without_who_waited_for_it(plane: Plane, tmp_path: Path, times: int) -> None:
    with begun(plane, "run", make_bundle(tmp_path, GATED, name="left"), "--wait") as command:
        until_said(command, "run.started")
        said = interrupted(command, times=times)
    assert len(said) == 1, said
    run = said[0].split()[0]
    assert said == [f"{run} goes on without you: agentplane get runs {run}, agentplane cancel {run}"]
    os.kill(plane.sleeper(run), signal.SIGTERM)
    assert plane.sealed(run)["succeeded"]


def test_who_stops_following_a_log_learns_how_to_stop_the_run(plane: Plane, gated: Path) -> None:
    run = plane.submit(gated)
    sleeper = plane.held(run)
    with begun(plane, "logs", "-f", run) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "waiting\n"
        said = interrupted(command)
    assert said == [f"{run} goes on without you: agentplane logs -f {run}, agentplane cancel {run}"]
    os.kill(sleeper, signal.SIGTERM)
    assert plane.sealed(run)["succeeded"]


@pytest.mark.parametrize("kept", [True, False], ids=["with a cursor", "without one"])
def test_who_stops_following_the_log_learns_how_to_go_on(plane: Plane, tmp_path: Path, kept: bool) -> None:
    cursor = tmp_path / "cursor"
    given = ("--cursor", cursor) if kept else ()
    with begun(plane, "events", "tail", "--follow", *given) as command:
        assert command.stdout is not None
        assert command.stdout.readline()
        awaited(lambda: cursor.exists() or not kept or None, "its cursor")
        said = interrupted(command)
    going_on = f"the same command goes on after {cursor}" if kept else "--cursor FILE keeps the place for the next time"
    assert said == [f"stopped; {going_on}"]
    if kept:
        assert int(cursor.read_text()) > 0


def test_what_was_handed_in_is_done_without_who_waited_for_it(plane: Plane) -> None:
    control = plane.pid("control")
    assert control is not None
    before = intents(plane)
    os.kill(control, signal.SIGSTOP)
    try:
        with begun(plane, "apply", "-f", ROOT / "examples" / "org.yaml", "--wait") as command:
            awaited(lambda: intents(plane) > before or None, "the document to be handed in")
            said = interrupted(command)
    finally:
        os.kill(control, signal.SIGCONT)
    assert said == ["what was handed in goes on without you: agentplane get KIND NAME, agentplane diff"]
    plane.call("apply", "-f", ROOT / "examples" / "org.yaml", "--wait")


def intents(plane: Plane) -> int:
    """How many intents NATS was ever given."""
    ports = load_ports(plane.layout.ports)
    assert ports is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['monitor']}/jsz?accounts=true&streams=true") as answer:
        details = json.load(answer)["account_details"]
    streams = [stream for account in details for stream in account["stream_detail"]]
    return sum(stream["state"]["last_seq"] for stream in streams if "INTENT" in stream["name"].upper())
