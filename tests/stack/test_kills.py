"""kill -9 at any process: what was acknowledged stays, and a run is run once."""

import os
import signal
from pathlib import Path

import pytest

from tests.stack.plane import DAEMONS, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


def test_idle_processes_come_back_and_serve(plane: Plane, tmp_path: Path) -> None:
    for daemon in DAEMONS:
        plane.kill(daemon)
    plane.call("stack", "up")
    run = plane.submit(make_bundle(tmp_path, "exit 0\n", name="after-kills"))
    assert plane.sealed(run)["succeeded"]
    plane.verify(run, tmp_path / "evidence")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_run_outlives_any_of_them(plane: Plane, gated: Path, tmp_path: Path, daemon: str) -> None:
    run = plane.submit(gated)
    sleeper = plane.held(run)
    plane.kill(daemon)
    os.kill(sleeper, signal.SIGTERM)  # the very process that ran before: the run was adopted, not begun again
    finished = plane.sealed(run)
    assert (finished["succeeded"], finished["outcome"], finished["exitCode"]) == (True, "exited", 0)
    assert plane.once_per_epoch(run) == [1]
    assert [each["path"] for each in finished["artifacts"] if not each["path"].endswith(".json")] == ["report.txt"]
    plane.view(run, "succeeded")
    plane.verify(run, tmp_path / "evidence")


@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_run_outlives_any_of_them_wherever_it_is(plane: Plane, tmp_path: Path, daemon: str) -> None:
    run = plane.submit(make_bundle(tmp_path, "exit 0\n", name="just-asked"))
    plane.kill(daemon)  # admitted, and on its way through all other stages
    assert plane.sealed(run)["succeeded"]
    # an executor that was killed just as it launched says "lost", and the run is placed again
    assert plane.once_per_epoch(run) == list(range(1, 2 + len(plane.of_type(run, "run.requeued"))))
    plane.view(run, "succeeded")
    plane.verify(run, tmp_path / "evidence")


@pytest.mark.vm
def test_a_guest_is_adopted(plane: Plane, tmp_path: Path) -> None:
    run = plane.submit(make_bundle(tmp_path, "sleep 2\n", name="sleeper", backend="microvm"))
    launched = plane.launched(run)
    plane.kill("executor")
    assert plane.sealed(run)["succeeded"]
    assert plane.launched(run) == launched  # the same program, not another one
    assert plane.once_per_epoch(run) == [1]
    plane.verify(run, tmp_path / "evidence")
