"""Bad input at a running stack: a sentence with a code, an answer as data, evidence of what failed."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.stack.plane import Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


def test_the_builders_last_lines_reach_who_ran_it(plane: Plane, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "exit 0\n", name="unbuildable", backend="microvm")
    (bundle / "guest.nix").write_text("{ pkgs, ... }: { packages = [ pkgs.no-such-package ]; }\n")
    done = plane.call("run", bundle, "--wait", status=1)
    assert "nix.build-failed" in done.stderr
    assert "attribute 'no-such-package' missing" in done.stderr
    run = done.stdout.strip()
    assert plane.view(run, "failed")["outcome"] == "build-failed"
    plane.verify(run, tmp_path / "evidence")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("get", "run", "nosuch"), "run.unknown"),
        (("get", "executor", "nosuch"), "executor.unknown"),
        (("describe", "run", "nosuch"), "run.unknown"),
        (("explain", "nosuch"), "run.unknown"),
        (("replay", "nosuch"), "run.unknown"),
        (("evidence", "show", "nosuch"), "run.unknown"),
        (("events", "show", "99999999"), "event.unknown"),
    ],
)
def test_what_is_not_there_is_said_as_data(plane: Plane, argv: tuple[str, ...], code: str) -> None:
    done = plane.call(*argv, "-o", "json", status=3)
    assert json.loads(done.stdout)["error"]["code"] == code
    assert f"[{code}]" in done.stderr


def test_a_run_that_must_wait_says_why_and_where_to_look(plane: Plane, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, "exit 0\n", name="elsewhere", executor="nosuch")
    run = plane.submit(bundle)
    plane.view(run, "waiting_for_resource")
    explained = plane.call("explain", run)
    assert "not-in-inventory" in explained.stdout + explained.stderr
    plane.call("cancel", run)
    plane.view(run, "superseded")


def test_a_bus_that_does_not_answer_is_said_so(plane: Plane) -> None:
    pid = plane.pid("nats")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        done = plane.call("get", "runs", "-o", "json", status=6)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert json.loads(done.stdout)["error"]["code"] == "bus.unreachable"
    assert "doctor" in done.stderr
