"""Runs that are cancelled, and runs that take too long."""

import os
import select
from pathlib import Path

import pytest

from tests.stack.plane import Plane
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack


def test_a_running_run_is_cancelled(plane: Plane, gated: Path, tmp_path: Path) -> None:
    run = plane.submit(gated)
    sleeper = os.pidfd_open(plane.held(run))
    plane.call("cancel", run, "--reason", "seen enough")
    assert select.select([sleeper], [], [], 60)[0] == [sleeper]
    os.close(sleeper)
    plane.until(run, "run.superseded")
    plane.until(run, "run.evidence", kind="RunSeal")
    plane.view(run, "superseded")
    plane.verify(run, tmp_path / "evidence")


def test_time_runs_out(plane: Plane, tmp_path: Path) -> None:
    runs = {
        fails: plane.submit(
            make_bundle(
                tmp_path, GATED, name=f"slow-{fails}".lower(), policy={"maxRunSeconds": 5, "failOnTimeout": fails}
            )
        )
        for fails in (True, False)
    }
    for fails, run in runs.items():
        finished = plane.sealed(run)
        assert (finished["outcome"], finished["succeeded"]) == ("timeout", not fails)
        plane.until(run, "run.evidence", kind="TimeoutArtifact")
        assert (Path(finished["outDir"]) / "timeout-artifact.json").is_file()
        plane.view(run, "failed" if fails else "succeeded")
        plane.verify(run, tmp_path / f"evidence-{run}")
