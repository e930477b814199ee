"""A stack whose control host is away for many leases, and an executor whose disk is full: late, and nothing lost."""

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentplane.stack import joiners
from tests.smalldisk import SmallDisk, small_disk
from tests.stack.conftest import KEPT
from tests.stack.plane import Plane, awaited
from tests.stack.test_metrics import scraped
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

LEASE_S = 4
TINY = "exec-tiny"
DATABASE_MIB = 256
BUS_MIB = 64
TINY_MIB = 1400  # what a bundle asks for, and some


@pytest.fixture(scope="module")
def apart() -> Iterator[Plane]:
    """A stack of its own, for what others would notice; nobody else's lease is as short."""
    parent = Path(tempfile.mkdtemp(prefix="agentplane-outages-"))
    parent.chmod(0o711)
    plane = Plane(parent / "state")
    if (KEPT / "kernel" / "kernel.txt").exists():
        (plane.layout.root / "kernel").mkdir(parents=True)
        shutil.copy(KEPT / "kernel" / "kernel.txt", plane.layout.root / "kernel")
    disks = (joiners.state_dir(plane.layout, TINY), TINY_MIB), (plane.layout.postgres, DATABASE_MIB)
    with small_disk(*disks[0]), small_disk(*disks[1]), small_disk(plane.layout.nats, BUS_MIB):
        plane.call("stack", "up")
        plane.reconfigure(heartbeat_seconds=1, lease_seconds=LEASE_S)
        yield plane
        plane.call("stack", "down")
    shutil.rmtree(parent)


@contextmanager
def unreachable(plane: Plane, *, rebooted: bool) -> Iterator[None]:
    """Nothing on the control host answers any more: neither refused nor closed, as behind a cut cable."""
    stopped = [pid for pid in map(plane.pid, ("control", "projector", "nats", "postgres")) if pid]
    assert len(stopped) == 4
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGKILL if rebooted else signal.SIGCONT)


def stage(plane: Plane, run: str) -> str | None:
    record = plane.layout.executor / f"runs/default/{run}/1/state.json"
    found: str = json.loads(record.read_text())["stage"]
    return found


@pytest.mark.parametrize("rebooted", [False, True], ids=["cut off", "rebooted"])
def test_executors_finish_and_deliver_when_control_is_back(apart: Plane, tmp_path: Path, *, rebooted: bool) -> None:
    run = apart.submit(make_bundle(tmp_path, GATED, name="alone"))
    sleeper = apart.held(run)
    with unreachable(apart, rebooted=rebooted):
        away_since = time.monotonic()
        os.kill(sleeper, signal.SIGTERM)
        awaited(lambda: stage(apart, run) == "sealed" or None, "the end of the run, on the executor alone")
        assert scraped(apart, "executor")["agentplane_evidence_backlog_records"] > 0
        awaited(lambda: time.monotonic() > away_since + 3 * LEASE_S or None, "three leases to pass")
    finished = apart.sealed(run)
    assert (finished["succeeded"], finished["epoch"]) == (True, 1)
    assert apart.once_per_epoch(run) == [1]
    assert apart.of_type(run, "run.lease-expired") == []
    awaited(lambda: scraped(apart, "executor")["agentplane_evidence_backlog_records"] == 0 or None, "its delivery")
    apart.view(run, "succeeded")
    apart.verify(run, tmp_path / "evidence")


def test_a_full_database_delays_and_loses_nothing(apart: Plane, tmp_path: Path) -> None:
    disk, log = SmallDisk(apart.layout.postgres), apart.layout.logs / "control.log"
    run = apart.submit(make_bundle(tmp_path, GATED, name="before"))
    sleeper = apart.held(run)
    disk.fill()
    os.kill(sleeper, signal.SIGTERM)
    awaited(lambda: stage(apart, run) == "sealed" or None, "the end of the run, on the executor")
    later = tmp_path / "later"
    asked = apart.call("run", make_bundle(later, "exit 0\n", name="later"), "-o", "json", status=None)
    while asked.returncode == 0:  # what the last pages still take is stored
        asked = apart.call("run", later / "later", "-o", "json", status=None)
    error = json.loads(asked.stdout)["error"]
    assert (asked.returncode, error["code"]) == (6, "control.silent")
    assert "is queued" in error["message"]
    awaited(lambda: "store.full" in log.read_text() or None, "control's complaint")
    apart.call("get", "run", run)  # what is known is still answered
    disk.free()
    finished = apart.sealed(run)
    assert apart.of_type(run, "run.lease-expired") == []
    assert (finished["succeeded"], apart.once_per_epoch(run)) == (True, [1])
    apart.verify(run, tmp_path / "evidence")
    assert apart.sealed(error["where"])["succeeded"]  # as it was promised


def test_a_bus_whose_disk_was_full_writes_again_by_itself(apart: Plane, tmp_path: Path) -> None:
    disk, bundle, before = (
        SmallDisk(apart.layout.nats),
        make_bundle(tmp_path, "exit 0\n", name="queued"),
        apart.pid("nats"),
    )
    disk.fill()
    asked = apart.call("run", bundle, "-o", "json", status=None)
    while asked.returncode == 0:  # what the last pages still take is stored
        asked = apart.call("run", bundle, "-o", "json", status=None)
    assert asked.returncode == 6
    doctor = apart.call("doctor", "--role", "control", "-o", "json", status=None)
    checks = {check["id"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["nats.writes"]["status"] == "fail", checks["nats.writes"]
    assert apart.pid("nats") == before  # a restart would not help yet
    disk.free()
    awaited(lambda: apart.pid("nats") not in {before, None} or None, "its restart")
    awaited(lambda: apart.call("run", bundle, "--wait", status=None).returncode == 0 or None, "a run")


@pytest.fixture(scope="module")
def tiny(apart: Plane) -> SmallDisk:
    """An executor with a disk of its own, which somebody else fills."""
    apart.call("stack", "add-executor", TINY)
    path = joiners.config_file(apart.layout, TINY)
    path.write_text(json.dumps({**json.loads(path.read_text()), "limits": {"disk_reserve_mib": 1}}))
    apart.kill(f"executor-{TINY}")
    return SmallDisk(joiners.state_dir(apart.layout, TINY))


def test_an_executor_without_disk_keeps_what_it_has_and_goes_on(apart: Plane, tiny: SmallDisk, tmp_path: Path) -> None:
    run = apart.submit(make_bundle(tmp_path, GATED, name="cramped", executor=TINY))
    sleeper = apart.sleeper(run, 1, tiny.path)
    apart.until(run, "run.started")
    tiny.fill()
    os.kill(sleeper, signal.SIGTERM)
    waiting = apart.submit(make_bundle(tmp_path / "b", "exit 0\n", name="waiting", executor=TINY))
    apart.until(waiting, "run.waiting", state="waiting_for_resource")
    explained = apart.call("explain", waiting).stdout
    assert "MiB disk" in explained, explained
    assert apart.of_type(run, "run.finished") == []
    tiny.free()
    finished = apart.sealed(run)
    assert (finished["epoch"], finished["outcome"], finished["succeeded"]) == (1, "exited", True)
    assert "for room on the host's disk" in finished["message"]
    assert [fact["path"] for fact in finished["artifacts"]] == ["report.txt"]
    assert apart.once_per_epoch(run) == [1]
    assert apart.sealed(waiting)["succeeded"]
    for each in (run, waiting):
        apart.verify(each, tmp_path / "evidence" / each)
