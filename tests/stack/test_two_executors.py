"""A second executor: waited for, trusted with what the first lost, never with the same epoch."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.bus import nkeys
from agentplane.evidence.edge import generate_key_pair
from agentplane.stack import provision
from agentplane.stack.ports import load_ports
from tests.stack.plane import EXECUTOR, Plane
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

SECOND = "exec-second"


class Second:
    """An executor process of the test's own, with its own keys and state."""

    def __init__(self, plane: Plane) -> None:
        self.layout = plane.layout
        self.state_dir = plane.layout.root / SECOND
        self._process: subprocess.Popen[bytes] | None = None
        self._config = plane.layout.config / f"{SECOND}.json"

    def introduce(self) -> None:
        """Keys by configuration, an inventory entry and a configuration of its own; others join over the bus."""
        layout, ports = self.layout, load_ports(self.layout.ports)
        assert ports is not None
        generate_key_pair(layout.keys, SECOND)
        (layout.trusted_keys / "executors" / f"{SECOND}.pub").write_bytes((layout.keys / f"{SECOND}.pub").read_bytes())
        nkey = nkeys.create_seed_file(layout.nkeys / f"{SECOND}.nkey")
        (layout.trusted_keys / "executors" / f"{SECOND}.bus").write_text(nkey)
        inventory = json.loads((layout.config / "inventory.json").read_text())
        inventory["executors"].append({**inventory["executors"][0], "name": SECOND})
        provision.write_json(layout.config / "inventory.json", inventory)
        config = json.loads((layout.config / "executor.json").read_text())
        config |= {
            "name": SECOND,
            "state_dir": str(self.state_dir),
            "metrics_port": None,  # the first one's is taken
            "signing_key_file": str(layout.keys / f"{SECOND}.key"),
            "nats": {**config["nats"], "nkey_seed_file": str(layout.nkeys / f"{SECOND}.nkey")},
        }
        provision.write_json(self._config, config)

    def start(self) -> None:
        if self._process is None:
            with (self.layout.logs / f"{SECOND}.log").open("ab") as log:
                argv = [sys.executable, "-m", "services.executor", "--config", str(self._config)]
                self._process = subprocess.Popen(argv, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            assert self._process.wait(60) == 0


@pytest.fixture(scope="module")
def second(plane: Plane) -> Iterator[Second]:
    second = Second(plane)
    second.introduce()
    plane.kill("control")
    plane.call("stack", "up")
    yield second
    second.stop()


def test_a_run_waits_visibly_until_an_executor_that_fits_appears(plane: Plane, second: Second, tmp_path: Path) -> None:
    run = plane.submit(make_bundle(tmp_path, "exit 0\n", name="patient", executor=SECOND))
    waiting = plane.until(run, "run.waiting", state="waiting_for_resource")
    table = {line["executor"]: line for line in waiting["table"]}
    assert set(table) == {EXECUTOR, SECOND}
    assert all(line["reasons"] and not line["feasible"] for line in table.values())
    plane.view(run, "waiting_for_resource")
    assert SECOND in plane.call("explain", run).stdout
    second.start()
    assert plane.sealed(run)["executor"] == SECOND
    plane.verify(run, tmp_path / "evidence")


def test_a_lost_lease_is_never_run_twice(plane: Plane, second: Second, gated: Path, tmp_path: Path) -> None:
    second.start()
    with plane.configured(lease_seconds=4):
        run = plane.submit(make_bundle(tmp_path, GATED, name="partitioned"))
        plane.until(run, "run.placed")
        first, other = plane.of_type(run, "run.placed")[0]["executor"], None
        old_dir = plane.layout.executor if first == EXECUTOR else second.state_dir
        new_dir = second.state_dir if first == EXECUTOR else plane.layout.executor
        sleeper = plane.sleeper(run, 1, old_dir)
        plane.until(run, "run.started", epoch=1)
        stopped = plane.pid("executor") if first == EXECUTOR else second._process and second._process.pid
        assert stopped
        os.kill(stopped, signal.SIGSTOP)
        try:
            plane.until(run, "run.lease-expired", epoch=1)
            other = plane.until(run, "run.placed", epoch=2)["executor"]
            replacement = plane.sleeper(run, 2, new_dir)
            plane.until(run, "run.started", epoch=2)
        finally:
            os.kill(sleeper, signal.SIGTERM)  # the old guest even ends well, while nobody hears of it
            os.kill(stopped, signal.SIGCONT)
        assert other != first
        late = plane.until(run, "run.evidence", kind="RunSeal", epoch=1)
        os.kill(replacement, signal.SIGTERM)
        finished = plane.sealed(run)
    assert (finished["executor"], finished["succeeded"]) == (other, True)
    assert late["fenced"]
    assert [data["epoch"] for data in plane.of_type(run, "run.finished")] == [2]
    assert [data["epoch"] for data in plane.of_type(run, "run.started")] == [1, 2]
    fenced = {
        (data["epoch"], data["fenced"]) for data in plane.of_type(run, "run.evidence") if data["kind"] == "RunSeal"
    }
    assert fenced == {(1, True), (2, False)}
    plane.verify(run, tmp_path / "evidence")
