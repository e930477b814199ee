"""The whole executor over a real nats-server; only Nix and QEMU are scripted."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agentplane.bus import subjects
from agentplane.daemon.config import NatsSettings
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.runs.protocol import Acceleration
from services.executor.app import Opened, assemble, open_all
from services.executor.config import ExecutorSettings
from services.executor.daemon import Executor
from services.executor.facts import Probed
from tests.integration.executor.control_double import ControlDouble
from tests.nats_server import NatsServer, bus, nats_server  # noqa: F401 - fixtures
from tests.unit.executor.samples import EXECUTOR, assignment, key_files
from tests.unit.executor.scripted import ScriptedHost, ending

PROBED = Probed(backends=("microvm",), kvm=Acceleration(usable=False, cause="absent: test"), versions={})


class World:
    """One executor, its directory and its control."""

    def __init__(self, settings: ExecutorSettings, control: ControlDouble, server: NatsServer) -> None:
        self.settings = settings
        self.control = control
        self.server = server
        self.host = ScriptedHost(ending(), {"report.json": b'{"ok":true}'})
        self._lifecycle = Lifecycle()
        self._opened: Opened | None = None
        self._executor: Executor | None = None

    async def start(self) -> None:
        self._lifecycle = Lifecycle()
        self._opened = open_all(self.settings)
        self._bus = await self.server.connect(EXECUTOR)
        self._executor = assemble(self._opened, self.host, self._bus, lambda: PROBED)
        self._bus.on_reconnect(self._executor.reconnected)
        await self._executor.adopt(self._bus, self._lifecycle)
        self._executor.converse(self._lifecycle)

    async def stop(self) -> None:
        assert self._executor is not None
        assert self._opened is not None
        await self._executor.stop(2)
        await self._lifecycle.close()
        await self._bus.close()
        self._opened.close()
        assert self._lifecycle.failure is None


@pytest.fixture
async def world(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[World]:  # noqa: F811 - a fixture
    nats_server.wipe()
    tester = await nats_server.connect()
    await tester.ensure_streams()
    control = ControlDouble(tester)
    await control.start()
    private, public = key_files(tmp_path)
    settings = ExecutorSettings(
        name=EXECUTOR,
        state_dir=tmp_path / "state",
        nats=NatsSettings(servers=(nats_server.url,), nkey_seed_file=nats_server.seed(EXECUTOR)),
        signing_key_file=private,
        control_public_key_file=public,
        vm_kit=tmp_path,
    )
    world = World(settings, control, nats_server)
    await world.start()
    yield world
    await world.stop()
    await control.close()
    world.host.dispose()


async def test_an_assignment_becomes_committed_evidence_and_a_fetched_artifact(world: World) -> None:
    await world.control.assign(assignment())
    await world.control.until(lambda: "RunSeal" in world.control.kinds())
    assert world.control.kinds()[0] == "PlacementReceipt"
    assert b"hello from the guest" in world.control.console
    request = {"tenant": "acme", "run": "demo-1", "epoch": 1, "path": "report.json"}
    answer = await world.control.bus.request(subjects.artifact(EXECUTOR), msgspec.json.encode(request), timeout_s=5)
    assert base64.b64decode(msgspec.json.decode(answer)["data"]) == b'{"ok":true}'
    await world.control.until(lambda: not world.control.heartbeats[-1].active)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"path": "../../state.json"}, "artifact.unknown"),
        ({"path": "/etc/passwd"}, "artifact.unknown"),
        ({"tenant": "rival"}, "artifact.unknown-run"),
        ({"run": ".."}, "run.name"),
        ({"offset": -1}, "artifact.range"),
        ({"epoch": "one"}, "artifact.request"),
    ],
)
async def test_what_is_no_artifact_of_that_run_is_not_handed_out(
    world: World, changes: dict[str, object], code: str
) -> None:
    await world.control.assign(assignment())
    await world.control.until(lambda: "RunSeal" in world.control.kinds())
    request = {"tenant": "acme", "run": "demo-1", "epoch": 1, "path": "report.json", **changes}
    answer = await world.control.bus.request(subjects.artifact(EXECUTOR), msgspec.json.encode(request), timeout_s=5)
    assert msgspec.json.decode(answer)["error"]["code"] == code


async def test_a_wiped_server_loses_no_evidence(world: World) -> None:
    world.host.script = None
    await world.control.assign(assignment())
    await world.control.until(lambda: "RunStarted" in world.control.kinds())
    world.server.kill()  # the run goes on, its reports pile up in the journal
    (execution,) = world.host.running.values()
    execution.end(ending())
    world.server.wipe()
    await world.control.until(lambda: "RunSeal" in world.control.kinds())
    assert [report.index for report in world.control.committed] == list(range(1, len(world.control.committed) + 1))


async def test_a_restarted_executor_adopts_its_guest_and_reports_it_once(world: World) -> None:
    world.host.script = None
    await world.control.assign(assignment())
    await world.control.until(lambda: "RunStarted" in world.control.kinds())
    await world.stop()
    await world.start()
    (execution,) = world.host.running.values()
    execution.end(ending())
    await world.control.until(lambda: "RunSeal" in world.control.kinds())
    assert len(world.host.launches) == 1
    assert len(set(world.control.kinds())) == len(world.control.kinds())
