"""What a real stack decided, decided again: by these controllers the same, by changed ones a difference that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack.plane import ROOT, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

CHANGED = """
import sys
from agentplane.placement import rank
rank.ROOM = 70
from agentplane.cli.main import main
sys.exit(main())
"""


def changed(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of a program whose placement counts otherwise."""
    argv = [sys.executable, "-c", CHANGED, *arguments]
    environment = {**os.environ, "AGENTPLANE_STATE_DIR": "/nonexistent"}
    return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=240, check=False)


def test_every_decision_of_this_stack_is_taken_again_alike(plane: Plane, tmp_path: Path, gated: Path) -> None:
    done = plane.submit(make_bundle(tmp_path / "done", "echo done\n", name="proved"))
    plane.sealed(done)
    stopped = plane.submit(gated)
    plane.until(stopped, "run.started")
    plane.call("cancel", stopped)
    plane.until(stopped, "run.superseded")
    plane.call("replay", done)
    live = json.loads(plane.call("controllers", "check", "-o", "json").stdout)
    assert live["passed"]
    assert live["differences"] == []
    assert live["same"] == live["decisions"] >= 6
    path = tmp_path / "log.jsonl"
    path.write_text(plane.call("events", "export").stdout)
    plane.call("controllers", "check", "--from", path)
    answer = changed("controllers", "check", "--from", str(path), "-o", "json")
    found = json.loads(answer.stdout)
    assert answer.returncode == 1, answer.stderr
    assert {each["controller"] for each in found["differences"]} == {"placement"}
    assert any("score" in change["path"] for each in found["differences"] for change in each["changes"])
