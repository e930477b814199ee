"""The units under a real systemd: scripts/testbed.sh, its whole story. Minutes, so only when asked for."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def testbed(*words: str | Path) -> str:
    """What scripts/testbed.sh says when it ends well."""
    if os.environ.get("AGENTPLANE_TESTBED") != "1":
        pytest.skip("AGENTPLANE_TESTBED=1 boots Debian hosts in containers (root, debootstrap, minutes): not run")
    done = subprocess.run(
        [ROOT / "scripts/testbed.sh", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.testbed
@pytest.mark.timeout(1800)
def test_the_story_of_a_debian_host_comes_out_well() -> None:
    assert testbed("story").rstrip().endswith("== all of it")


@pytest.mark.testbed
@pytest.mark.timeout(1800)
def test_the_story_of_three_hosts_comes_out_well() -> None:
    assert testbed("hosts").rstrip().endswith("== all of it")


@pytest.mark.testbed
@pytest.mark.timeout(1800)
def test_limits_bite_in_a_virtual_machine() -> None:
    assert testbed("limits").splitlines()[-1].startswith("== all of it")


SCRIPTS = ("scripts/testbed.sh", "scripts/testbed-vm.sh", "scripts/install-debian.sh", "tests/units/story.sh")


@pytest.mark.parametrize("script", [*SCRIPTS, "tests/units/limits.sh"])
def test_the_scripts_parse(script: str) -> None:
    subprocess.run(["bash", "-n", ROOT / script], check=True)
