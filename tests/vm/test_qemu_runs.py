"""What a guest does becomes the outcome that is told of it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agentplane.errors import Conflict
from agentplane.runners import collect
from agentplane.runners.host import Host
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Ending, InputImage, Plan, Timeouts
from agentplane.runners.qemu import QemuRunner
from agentplane.runs.model import StorePath
from agentplane.runs.states import Outcome
from tests.vm.conftest import HOSTILE, MakePlan

pytestmark = pytest.mark.vm


def run(host: Host, plan: Plan, secrets: dict[str, bytes] | None = None) -> tuple[Ending, Path]:
    handle = QemuRunner(host).launch(plan, secrets or {})
    ending = handle.wait(120)
    handle.close()
    assert ending is not None
    return ending, Path(handle.directory)


def test_a_run_hands_out_artifacts_events_and_console(host: Host, plan: MakePlan, nix: Nix, tmp_path: Path) -> None:
    tree = nix.add_tree(HOSTILE / "well-behaved", "some-input")
    image = InputImage(name="some-quite-long-name", image=nix.build_input_image("tree", tree))
    secret = b"hush-" + b"x" * 40
    asked = plan("well-behaved", inputs=(image,), secrets=("TOKEN_FILE",), artifact_targets=("/results",))
    ending, directory = run(host, asked, {"TOKEN_FILE": secret})
    assert (ending.outcome, ending.exit_code, ending.truncated) == (Outcome.EXITED, 0, ())
    target = tmp_path / "out"
    target.mkdir()
    facts = {fact.path: fact for fact in collect.extract(directory / "result.tar", target, asked.caps.artifacts)}
    assert sorted(facts) == ["date", "deep/er/empty", "input-some-quite-long-name", "report.txt", "token.sha256"]
    assert (target / "date").read_text() == "2026-01-01\n"
    assert (target / "report.txt").read_text() == f"run {asked.run} seed 0\n"
    assert (target / "input-some-quite-long-name").read_text().split() == ["bundle.json", "guest.nix", "smoke.sh"]
    assert (target / "token.sha256").read_text().startswith(hashlib.sha256(secret).hexdigest())
    assert facts["report.txt"].sha256 == hashlib.sha256((target / "report.txt").read_bytes()).hexdigest()
    assert (directory / "console.log").read_text() == "to the console\n"
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["booted", "started", "workload", "exited", "finished"]
    assert events[2]["data"] == '{"note":"from the workload"}'
    leaked = [path for path in Path(asked.run_dir).rglob("*") if path.is_file() and secret in path.read_bytes()]
    assert leaked == []


def test_the_exit_code_is_the_workloads(host: Host, plan: MakePlan) -> None:
    ending, _ = run(host, plan("well-behaved", seed="3"))
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 3)


@pytest.mark.parametrize("bundle", ["never-ends", "ignores-signals", "fork-bomb"])
def test_the_wall_clock_ends_what_does_not_end(host: Host, plan: MakePlan, bundle: str) -> None:
    ending, directory = run(host, plan(bundle, deadline_s=1.5))
    assert ending.outcome is Outcome.TIMEOUT
    assert "1.5 s" in ending.message
    assert not _alive(directory)


def test_a_console_flood_is_cut_and_the_run_goes_on(host: Host, plan: MakePlan) -> None:
    asked = plan("console-flood", deadline_s=1.5)
    ending, directory = run(host, asked)
    assert ending.outcome is Outcome.TIMEOUT
    assert "console" in ending.truncated
    assert ending.received_bytes["console"] > asked.caps.console_bytes
    kept = (directory / "console.log").read_bytes()
    assert kept.endswith(b"[agentplane: truncated, the rest was discarded]\n")
    assert len(kept) < asked.caps.console_bytes + 100


def test_a_workload_cannot_pose_as_init_nor_drown_its_exit(host: Host, plan: MakePlan) -> None:
    asked = plan("event-flood", caps=_small_event_caps(plan))
    ending, directory = run(host, asked)
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 7)
    assert "events" in ending.truncated
    assert (directory / "events.jsonl").stat().st_size < 8 << 10
    assert '"exited", "code": 7' in (directory / "events.jsonl").read_text()


def test_a_guest_out_of_memory_is_its_own_failure(host: Host, plan: MakePlan) -> None:
    ending, _ = run(host, plan("memory-hog"))
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 137)


def test_the_hosts_limit_is_told_apart(host: Host, plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentplane.runners.host.QEMU_OVERHEAD_MIB", -60)
    ending, directory = run(host, plan("memory-hog"))
    if "memory" not in ending.enforced:
        pytest.skip("this host enforces no memory limit")
    assert ending.outcome is Outcome.OOM_KILLED
    assert not _alive(directory)


def test_a_kernel_panic_is_no_exit(host: Host, plan: MakePlan, altered: Callable[..., StorePath]) -> None:
    cmdline = "console=ttyS0 quiet reboot=t panic=-1 oops=panic cryptomgr.notests sysctl.vm.panic_on_oom=2"
    ending, _ = run(host, plan("memory-hog", spec=altered("memory-hog", cmdline=cmdline)))
    assert ending.outcome is Outcome.GUEST_CRASHED
    assert ending.exit_code == -1
    assert "Kernel panic" in ending.message


def test_a_full_disk_is_the_guests_alone(host: Host, plan: MakePlan) -> None:
    ending, directory = run(host, plan("disk-full"))
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 28)
    assert sum(path.stat().st_size for path in directory.iterdir()) < 1 << 20


def test_a_guest_that_stalls_may_be_launched_once_more(
    host: Host, plan: MakePlan, altered: Callable[..., StorePath], tmp_path: Path
) -> None:
    spec = altered("well-behaved", cmdline="console=ttyS0 panic=-1 rdinit=/bin/cat")
    run_dir = str(tmp_path / "stalled")
    stalling = plan("well-behaved", spec=spec, run_dir=run_dir, timeouts=Timeouts(boot_s=2.0))
    ending, _ = run(host, stalling)
    assert (ending.outcome, ending.started, ending.stalled) == (Outcome.HOST_FAILED, False, True)
    with pytest.raises(Conflict, match="launched before"):
        run(host, stalling)
    again, _ = run(host, plan("well-behaved", run_dir=run_dir, attempt=2))
    assert again.outcome is Outcome.EXITED
    with pytest.raises(Conflict, match="may have run something"):
        run(host, plan("well-behaved", run_dir=run_dir, attempt=3))


def _alive(directory: Path) -> bool:
    pid = json.loads((directory / "launched.json").read_text())["program_pid"]
    return Path(f"/proc/{pid}").exists()


def _small_event_caps(plan: MakePlan) -> object:
    caps = plan("event-flood").caps
    return type(caps)(events_bytes=4 << 10)
