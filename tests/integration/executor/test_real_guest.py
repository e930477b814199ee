"""The executor as its own process, with Nix and QEMU for real: killed with a guest running, it reports that guest."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agentplane.artifacts.document import RESERVED_NAMES
from agentplane.evidence.report import read_finished, read_started
from agentplane.runners.kit import find_kit
from agentplane.runners.nix import Nix
from agentplane.runs.model import Expected, GuestPin, RunFinished, RunStarted, StorePath
from agentplane.runs.protocol import Assignment, Cancellation
from tests.integration.executor.control_double import ControlDouble
from tests.nats_server import NatsServer, bus, nats_server  # noqa: F401 - fixtures
from tests.unit.executor.samples import EXECUTOR, assignment, key_files
from tests.vm.conftest import KEPT

pytestmark = [pytest.mark.vm, pytest.mark.timeout(240)]

SMOKE = """#!/bin/sh
echo "secret is $(wc -c < "$TOKEN_FILE") bytes"
sleep 2
echo done > "$AGENTPLANE_ARTIFACTS/out.txt"
"""


class Process:
    """`python -m services.executor` on one configuration."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.config.parent / "executor.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.executor", "--config", str(self.config), stdout=log, stderr=log
            )

    async def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return await self._process.wait()

    def resident_mib(self) -> int:
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) // 1024


@pytest.fixture
async def control(nats_server: NatsServer) -> AsyncIterator[ControlDouble]:  # noqa: F811 - a fixture
    nats_server.wipe()
    tester = await nats_server.connect()
    await tester.ensure_streams()
    control = ControlDouble(tester)
    await control.start()
    yield control
    await control.close()


@pytest.fixture
async def process(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Process]:  # noqa: F811 - a fixture
    kit = find_kit(KEPT)
    private, public = key_files(tmp_path)
    secret = tmp_path / "secrets" / "user" / "TOKEN_FILE"
    secret.parent.mkdir(parents=True)
    secret.write_bytes(b"x" * 17)
    secret.chmod(0o600)
    config: dict[str, Any] = {
        "name": EXECUTOR,
        "state_dir": str(tmp_path / "state"),
        "nats": {"servers": [nats_server.url], "nkey_seed_file": str(nats_server.seed(EXECUTOR))},
        "signing_key_file": str(private),
        "control_public_key_file": str(public),
        "vm_kit": str(kit.root),
        "kernel_deb": str(kit.kernel_deb) if kit.kernel_deb else None,
        "secrets_dir": str(tmp_path / "secrets"),
    }
    (tmp_path / "executor.json").write_text(json.dumps(config))
    process = Process(tmp_path / "executor.json")
    await process.start()
    yield process
    await process.end(signal.SIGTERM)


@pytest.fixture
def source(tmp_path: Path) -> StorePath:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "guest.nix").write_text("_: { }\n")
    (bundle / "smoke.sh").write_text(SMOKE)
    (bundle / "smoke.sh").chmod(0o755)
    return Nix(KEPT, find_kit(KEPT)).add_tree(bundle, "bundle-demo")


def work(run: str, source: StorePath, **changes: Any) -> Assignment:
    pins: dict[str, Any] = {"source": source, "secrets": ("TOKEN_FILE",), "secret_ref_root": "secrets://user"}
    return assignment(run=run, **{**pins, **changes})


def reported(control: ControlDouble, run: str) -> tuple[RunStarted, RunFinished]:
    mine = {report.kind: report.artifact for report in control.committed if report.run == run}
    return read_started(mine["RunStarted"]), read_finished(mine["RunFinished"])


async def sealed(control: ControlDouble, run: str) -> None:
    await control.until(lambda: any((each.run, each.kind) == (run, "RunSeal") for each in control.committed))


async def test_a_guest_outlives_its_executor_and_its_replay_matches(
    control: ControlDouble, process: Process, source: StorePath, tmp_path: Path
) -> None:
    await control.until(lambda: bool(control.heartbeats))
    assert control.heartbeats[-1].facts.backends == ("microvm", "process")
    await control.assign(work("demo-1", source))
    attempt = tmp_path / "state" / "runs" / "acme" / "demo-1" / "1"
    await control.until((attempt / "shim" / "launch-1" / "launched.json").exists)
    assert await process.end(signal.SIGKILL) == -signal.SIGKILL
    await process.start()
    await sealed(control, "demo-1")
    started, finished = reported(control, "demo-1")
    assert (finished.outcome, finished.exit_code, finished.succeeded) == ("exited", 0, True)
    assert [fact.path for fact in finished.artifacts] == ["out.txt"]
    assert b"secret is 17 bytes" in (attempt / "console.log").read_bytes()
    found = {entry.name for entry in os.scandir(finished.out_dir)}
    assert found - {"out.txt"} <= RESERVED_NAMES
    assert isinstance(started.guest, GuestPin)

    expected = Expected(
        run="demo-1", outcome=finished.outcome, exit_code=finished.exit_code, artifacts=finished.artifacts
    )
    await control.assign(work("demo-2", source, replay_guest=started.guest, expected=expected))
    await sealed(control, "demo-2")
    _, again = reported(control, "demo-2")
    assert again.replay is not None
    assert again.replay.match, again.replay.differences
    assert process.resident_mib() <= 120


async def test_a_sandboxed_process_runs_as_well(
    control: ControlDouble, process: Process, source: StorePath, tmp_path: Path
) -> None:
    del process
    await control.until(lambda: bool(control.heartbeats))
    await control.assign(work("proc-1", source, backend="process"))
    await sealed(control, "proc-1")
    _, finished = reported(control, "proc-1")
    assert (finished.outcome, finished.succeeded) == ("exited", True), finished.message
    console = tmp_path / "state" / "runs" / "acme" / "proc-1" / "1" / "console.log"
    assert console.read_bytes().startswith(b"secret is 17 bytes")


async def test_a_person_stops_a_guest_that_never_ends(
    control: ControlDouble, process: Process, source: StorePath, tmp_path: Path
) -> None:
    del process
    await control.until(lambda: bool(control.heartbeats))
    await control.assign(work("proc-2", source, backend="process"))
    launched = tmp_path / "state" / "runs" / "acme" / "proc-2" / "1" / "shim" / "launch-1" / "launched.json"
    await control.until(launched.exists)
    control.cancellations = (Cancellation(run="proc-2", tenant="acme", epoch=1, reason="a person asked"),)
    await control.assign()
    await sealed(control, "proc-2")
    _, finished = reported(control, "proc-2")
    assert (finished.outcome, finished.message, finished.artifacts) == ("cancelled", "a person asked", ())
