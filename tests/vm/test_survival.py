"""Who dies when: executors may, their runs do not; a shim takes its guest along."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agentplane.errors import Broken
from agentplane.guests.spec import parse_guest
from agentplane.runners import launch as launches
from agentplane.runners.host import Host
from agentplane.runners.launch import ShimHandle
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Caps, Ending, Plan, Timeouts
from agentplane.runners.qemu import QemuRunner
from agentplane.runs.states import Outcome
from tests import smalldisk as disks
from tests.vm.conftest import HOSTILE, MakePlan

pytestmark = pytest.mark.vm

EXECUTOR = """
import os, signal, sys, msgspec
from pathlib import Path
from agentplane.runners.host import Host
from agentplane.runners.plan import Plan
from agentplane.runners.qemu import QemuRunner
plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
QemuRunner(Host(state_dir=Path(sys.argv[1]))).launch(plan, {})
os.kill(os.getpid(), signal.SIGKILL)
"""


def adopted(plan: Plan) -> ShimHandle:
    handle = launches.adopt(launches.launch_directory(plan.run_dir, 1))
    assert isinstance(handle, ShimHandle)
    return handle


def test_a_run_survives_its_executor_and_is_adopted(host: Host, plan: MakePlan) -> None:
    asked = plan("well-behaved", seed="5")
    killed = subprocess.run(
        [sys.executable, "-c", EXECUTOR, str(host.state_dir)], input=msgspec.json.encode(asked), check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    ending = adopted(asked).wait(120)
    assert ending is not None
    assert (ending.outcome, ending.exit_code) == (Outcome.EXITED, 5)
    assert launches.adopt(launches.launch_directory(asked.run_dir, 1)) == ending


def test_a_guest_does_not_outlive_its_shim(host: Host, plan: MakePlan) -> None:
    asked = plan("never-ends")
    handle = QemuRunner(host).launch(asked, {})
    launched = json.loads((Path(handle.directory) / "launched.json").read_text())
    qemu = os.pidfd_open(launched["program_pid"])
    os.kill(launched["shim_pid"], signal.SIGKILL)
    ending = handle.wait(30)
    assert ending is not None
    assert ending.outcome is Outcome.LOST
    assert select.select([qemu], [], [], 5)[0] == [qemu]  # a pidfd is readable when its process has ended
    os.close(qemu)
    assert [path for path in launched["group"] if Path(path).exists()] == []
    assert launches.adopt(Path(handle.directory)) == ending


def test_a_run_is_cancelled_with_its_reason(host: Host, plan: MakePlan) -> None:
    handle = QemuRunner(host).launch(plan("never-ends"), {})
    handle.kill("somebody asked")
    ending = handle.wait(30)
    assert ending is not None
    assert (ending.outcome, ending.message) == (Outcome.CANCELLED, "somebody asked")


def test_qemu_runs_as_nobody_in_particular_and_tells_no_secret(host: Host, plan: MakePlan) -> None:
    asked = plan("never-ends", secrets=("A", "B"))
    first = QemuRunner(host).launch(asked, {"A": b"hush-hush-hush", "B": b"another-value"})
    second = QemuRunner(host).launch(plan("never-ends"), {})
    facts = []
    for handle in (first, second):
        launched = json.loads((Path(handle.directory) / "launched.json").read_text())
        process = Path(f"/proc/{launched['program_pid']}")
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
        facts.append((launched["uid"], status))
        for file in ("cmdline", "environ"):
            assert b"hush" not in (process / file).read_bytes()
        assert b"hush" not in Path(f"/proc/{launched['shim_pid']}/cmdline").read_bytes()
        assert status["NoNewPrivs"] == "1"
        assert set(status["Uid"].split()) == {str(launched["uid"])}
        handle.kill("seen enough")
    for handle in (first, second):
        assert handle.wait(30) is not None
    if os.geteuid() == 0:
        assert facts[0][0] != facts[1][0]
        assert all(uid >= host.first_uid and status["Groups"].strip() == "" for uid, status in facts)
        assert all(int(status["CapEff"], 16) == 0 for _, status in facts)


def test_a_launch_that_was_given_up_does_not_begin_later(host: Host, plan: MakePlan) -> None:
    asked = plan("never-ends")
    directory = launches.prepare(asked)
    given_up = launches.adopt(directory)
    assert isinstance(given_up, Ending)
    assert given_up.outcome is Outcome.LOST
    launch = QemuRunner(host)._launch(asked, parse_guest(Path(asked.spec.path).read_bytes()))
    with pytest.raises(Broken, match="given up before"):
        launches.start(directory, launch, [])
    assert launches.adopt(directory) == given_up


def test_a_program_that_does_not_start_is_told(host: Host, plan: MakePlan, tmp_path: Path) -> None:
    (tmp_path / "qemu").write_text("#!/no/such/interpreter\n")
    (tmp_path / "qemu").chmod(0o755)
    asked = plan("never-ends")
    with pytest.raises(Broken, match="does not start") as broken:
        QemuRunner(msgspec.structs.replace(host, qemu=str(tmp_path / "qemu"))).launch(asked, {})
    assert broken.value.code == "runner.launch"
    ending = launches.adopt(launches.launch_directory(asked.run_dir, 1))
    assert isinstance(ending, Ending)
    assert (ending.outcome, ending.started) == (Outcome.HOST_FAILED, False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place)], check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("bundle", ["console-flood", "disk-full"])
def test_a_host_disk_that_is_full_ends_in_an_outcome(host: Host, plan: MakePlan, small_disk: Path, bundle: str) -> None:
    caps, timeouts = Caps(console_bytes=1 << 20), Timeouts(room_s=0.5)
    asked = plan(bundle, run_dir=str(small_disk / "run"), caps=caps, deadline_s=3.0, timeouts=timeouts)
    handle = QemuRunner(host).launch(asked, {})
    ending = handle.wait(60)
    assert ending is not None
    if bundle == "console-flood":
        assert ending.outcome is Outcome.TIMEOUT
        assert "console" in ending.truncated
    else:
        assert ending.outcome is Outcome.HOST_FAILED
        assert ending.message.startswith("disk-full: the artifacts could not be kept: No space left on device")
        assert not ending.result_complete


def test_a_scratch_disk_that_the_host_has_no_room_for_is_the_hosts_failure(
    host: Host, plan: MakePlan, nix: Nix, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "disk-full", bundle)
    # to the disk itself: what only the guest's memory took, nobody has refused
    (bundle / "smoke.sh").write_text(
        '#!/bin/sh\nexec dd if=/dev/zero of="$AGENTPLANE_SCRATCH/f" bs=1M count=12 conv=fsync\n'
    )
    spec = nix.build_guest(nix.add_tree(bundle, "bundle-scratch"), "scratch", "guest.nix", "smoke.sh")
    with disks.small_disk(tmp_path / "small", 4) as disk:
        handle = QemuRunner(host).launch(plan("scratch", spec=spec, run_dir=str(disk.path / "run")), {})
        size_kib = 4 << 10
        while (ending := handle.wait(1.0)) is None:  # far too little for it, and in the end enough for its archive
            size_kib += 64
            subprocess.run(["mount", "-o", f"remount,size={size_kib}k", str(disk.path)], check=True)
    assert (ending.outcome, ending.result_complete) == (Outcome.HOST_FAILED, True)
    assert (
        ending.message
        == "disk-full: the host failed a disk of the guest (No space left on device), which exited with 1"
    )
