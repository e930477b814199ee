"""The process runner keeps the same contract as QEMU's."""

import shutil
from pathlib import Path

import pytest

from agentplane.runners import collect
from agentplane.runners.host import Host
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Caps, Ending, InputImage, Plan
from agentplane.runners.process import ProcessRunner
from agentplane.runs.states import Outcome
from tests.vm.conftest import HOSTILE, MakePlan

pytestmark = pytest.mark.vm


def run(host: Host, plan: Plan, secrets: dict[str, bytes] | None = None) -> tuple[Ending, Path]:
    handle = ProcessRunner(host).launch(plan, secrets or {})
    ending = handle.wait(60)
    handle.close()
    assert ending is not None
    return ending, Path(handle.directory)


def test_a_process_hands_out_artifacts(host: Host, plan: MakePlan, nix: Nix, tmp_path: Path) -> None:
    tree = InputImage(name="tree", image=nix.add_tree(HOSTILE / "well-behaved", "some-input"))
    asked = plan("well-behaved", kind="process", inputs=(tree,), secrets=("TOKEN_FILE",), seed="4")
    ending, directory = run(host, asked, {"TOKEN_FILE": b"hush"})
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 4)
    (tmp_path / "out").mkdir()
    facts = collect.extract(directory / "result.tar", tmp_path / "out", asked.caps.artifacts)
    assert {"report.txt", "token.sha256", "input-tree"} <= {fact.path for fact in facts}
    assert (directory / "console.log").read_text() == "to the console\n"


@pytest.mark.parametrize("bundle", ["never-ends", "ignores-signals", "fork-bomb"])
def test_the_wall_clock_ends_what_does_not_end(host: Host, plan: MakePlan, bundle: str) -> None:
    ending, _ = run(host, plan(bundle, kind="process", deadline_s=1.0))
    assert ending.outcome is Outcome.TIMEOUT


def test_a_flood_is_cut(host: Host, plan: MakePlan) -> None:
    ending, directory = run(host, plan("console-flood", kind="process", deadline_s=0.5))
    assert (ending.outcome, ending.truncated) == (Outcome.TIMEOUT, ("console",))
    assert (directory / "console.log").stat().st_size < (1 << 16) + 100


def test_the_memory_limit_bites(host: Host, plan: MakePlan) -> None:
    ending, _ = run(host, plan("memory-hog", kind="process"))
    if "memory" not in ending.enforced:
        pytest.skip("this host enforces no memory limit")
    assert ending.outcome is Outcome.OOM_KILLED


def test_a_terabyte_is_refused_while_it_comes(host: Host, plan: MakePlan) -> None:
    ending, _ = run(host, plan("artifact-sparse", kind="process", caps=Caps()))
    assert ending.outcome is Outcome.RESULT_REFUSED


def test_a_sandbox_that_does_not_come_up_is_the_hosts_failure(host: Host, plan: MakePlan) -> None:
    ending, _ = run(host, plan("well-behaved", kind="process", artifact_targets=("/proc/nowhere/artifacts",)))
    assert (ending.outcome, ending.started) == (Outcome.HOST_FAILED, False)
    assert "bwrap: " in ending.message


def test_a_process_sees_nothing_of_the_host(host: Host, plan: MakePlan, tmp_path: Path, nix: Nix) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "well-behaved", bundle)
    (bundle / "smoke.sh").write_text(
        "#!/bin/sh\n"
        "ls / /sys/class/net /etc /home /root /proc/1/root 2>&1\n"
        "cat /proc/net/dev | tail -n +3 | cut -d: -f1\n"
        "touch /x /nix/x 2>&1\n"
        "id -u; grep CapEff /proc/self/status; unshare -U true 2>&1; env | grep -c AGENTPLANE_\n"
    )
    source = nix.add_tree(bundle, "bundle-looks")
    spec = nix.build_process(source, "looks", "guest.nix", "smoke.sh")
    _, directory = run(host, plan("well-behaved", kind="process", spec=spec))
    said = (directory / "console.log").read_text()
    assert "eth0" not in said
    assert "lo" in said.split()
    assert "passwd" not in said
    assert said.count("Read-only file system") == 2
    assert "CapEff:\t0000000000000000" in said
    assert "unshare" in said  # refused: no user namespace within
