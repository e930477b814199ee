"""The units under a real systemd: scripts/testbed.sh, its whole story. Minutes, so only when asked for."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.testbed
@pytest.mark.timeout(1800)
def test_the_story_of_a_debian_host_comes_out_well(tmp_path: Path) -> None:
    if os.environ.get("AGENTPLANE_TESTBED") != "1":
        pytest.skip("AGENTPLANE_TESTBED=1 boots a Debian host in a container (root, debootstrap, minutes): not run")
    build = subprocess.run([ROOT / "scripts/testbed.sh", "build"], capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    argv = [str(ROOT / "scripts/testbed.sh"), "run", str(ROOT / "tests/units/story.sh"), str(tmp_path / "out")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    said = (tmp_path / "out" / "stdout").read_text() if done.returncode != 125 else done.stderr
    assert done.returncode == 0, said
    assert said.rstrip().endswith("== all of it")


@pytest.mark.parametrize("script", ["scripts/testbed.sh", "scripts/install-debian.sh", "tests/units/story.sh"])
def test_the_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
