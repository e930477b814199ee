"""Up, status and down, and what stands in their way."""

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from agentplane.stack import supervision
from tests.stack.plane import DAEMONS, Plane
from tests.stack.processes import living_in

pytestmark = pytest.mark.stack


def daemons(plane: Plane) -> dict[str, int | None]:
    """Processes by name; not those of executors that another test has added to the stack."""
    return {each.name: each.pid for each in supervision.processes(plane.layout) if each.name in DAEMONS}


def test_the_second_up_changes_nothing(plane: Plane) -> None:
    before = daemons(plane)
    assert set(before) == set(DAEMONS)
    plane.call("stack", "up")
    assert daemons(plane) == before
    plane.call("stack", "status")


def test_a_start_that_was_cut_short_is_finished(plane: Plane) -> None:
    plane.layout.context.unlink()
    plane.call("stack", "up")
    plane.call("get", "executors")


def test_up_heals_a_killed_supervisor_and_the_run_goes_on(plane: Plane, gated: Path, tmp_path: Path) -> None:
    run = plane.submit(gated)
    sleeper = plane.held(run)
    supervisor = supervision.pid(plane.layout)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    said = plane.call("stack", "up").stderr
    assert "control.json: heartbeat_seconds is kept as somebody set it" in said
    assert json.loads((plane.layout.config / "control.json").read_text())["heartbeat_seconds"] == 1
    plane.call("stack", "status")
    os.kill(sleeper, signal.SIGTERM)
    assert plane.sealed(run)["succeeded"]
    assert plane.once_per_epoch(run) == [1]
    plane.verify(run, tmp_path / "evidence")


def test_down_takes_guests_along_and_the_next_up_runs_them_again(plane: Plane, gated: Path, tmp_path: Path) -> None:
    run = plane.submit(gated)
    plane.held(run)
    # at least this one: an executor that another test revoked may still hold one of its own
    assert re.search(r"ended [1-9]\d* running guest", plane.call("stack", "down").stderr)
    assert living_in(plane.layout.root) == []
    plane.call("stack", "up")
    plane.until(run, "run.requeued")
    os.kill(plane.sleeper(run, 2), signal.SIGTERM)
    assert plane.sealed(run)["succeeded"]
    assert plane.once_per_epoch(run) == [1, 2]
    plane.verify(run, tmp_path / "evidence")


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    other = Plane(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_server(("127.0.0.1", 0)) as free:
        taken, unused = listener.getsockname()[1], free.getsockname()[1]
        free.close()
        other.layout.ports.write_text(json.dumps({"postgres": unused, "nats": taken, "monitor": unused}))
        refused = other.call("stack", "up", status=8)
    assert f"port {taken} (nats) is taken" in refused.stderr
    assert "stack.port-taken" in refused.stderr
    assert living_in(tmp_path) == []
    other.call("stack", "status", status=1)
    assert "was down" in other.call("stack", "down").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    refused = Plane(tmp_path).call("stack", "up", status=2)
    assert "stack.owner" in refused.stderr
    assert list(tmp_path.iterdir()) == []
