"""An executor that makes its own keys and joins: runs, drains, changes keys while a guest runs, is shut out."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from agentplane.stack import joiners, provision
from tests.stack.plane import Plane, awaited
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

NAME = "exec-joined"


def described(plane: Plane) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(plane.call("executor", "describe", NAME, "-o", "json").stdout)
    return answer


def test_an_executor_joins_rests_changes_keys_and_is_shut_out(plane: Plane, tmp_path: Path) -> None:
    plane.call("stack", "add-executor", NAME)
    state = joiners.state_dir(plane.layout, NAME)
    assert described(plane)["phase"] == "approved"
    assert {path.stat().st_mode & 0o777 for path in (state / "keys" / "current").glob("*.[kn]*ey")} == {0o600}
    assert not joiners.token_file(plane.layout, NAME).exists()
    plane.call("stack", "add-executor", NAME, status=2)  # executor.name-taken
    path = joiners.config_file(plane.layout, NAME)
    path.write_text(json.dumps({**json.loads(path.read_text()), "dismissed_grace_seconds": 1}))
    plane.kill(f"executor-{NAME}")

    plane.call("executor", "drain", NAME, "--reason", "new disks", "--wait")
    run = plane.submit(make_bundle(tmp_path, GATED, name="guarded", executor=NAME))
    plane.until(run, "run.waiting", state="waiting_for_resource")
    assert "draining since" in plane.call("explain", run).stdout
    plane.call("executor", "resume", NAME)
    sleeper = plane.sleeper(run, 1, state)
    plane.until(run, "run.started", epoch=1)

    before = described(plane)["enrolment"]["keys"]
    plane.call("executor", "rotate", NAME, "--overlap", "10m", "--wait")
    keys = described(plane)["enrolment"]["keys"]
    assert keys[0]["keyId"] == before[0]["keyId"]
    assert len(keys) == 2
    plane.call("executor", "retire", NAME, status=2)  # executor.busy
    os.kill(sleeper, signal.SIGTERM)
    assert plane.sealed(run)["executor"] == NAME  # by the new process, with the new keys, of the same guest
    plane.verify(run, tmp_path / "evidence")

    second = plane.submit(make_bundle(tmp_path / "b", GATED, name="moved"), "--executor", NAME)
    stray = plane.sleeper(second, 1, state)
    plane.call("executor", "revoke", NAME, "--reason", "stolen")
    plane.until(second, "run.lease-expired", epoch=1)
    log = plane.layout.logs / f"executor-{NAME}.log"
    awaited(lambda: "bus disconnected" in log.read_text().rpartition('"ready"')[2] or None, "the end of its connection")
    assert described(plane)["phase"] == "revoked"
    assert "revoked since" in plane.call("executor", "list").stdout
    plane.call("cancel", second)
    awaited(lambda: not os.path.exists(f"/proc/{stray}") or None, "the end of its guest")  # noqa: PTH110 - a process
    outcome = state / f"runs/{provision.TENANT}/{second}/1/shim/launch-1/outcome.json"
    ended = json.loads(awaited(lambda: outcome.read_text() if outcome.exists() else None, "its outcome"))
    assert ended["outcome"] == "cancelled"
    assert ended["message"].startswith("this executor is none any more: revoked since ")
