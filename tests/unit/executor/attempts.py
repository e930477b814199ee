"""Executors that carry out one assignment, from control's word to the seal, and what they leave."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agentplane.evidence.record import Record
from agentplane.runs.model import Resources
from agentplane.runs.protocol import Assignment, Cancellation, HeartbeatReply
from services.executor.reconcile import Room
from services.executor.runstate import RunKey, Stage
from tests.unit.executor.scripted import Daemon, ScriptedHost

ROOM = Room(accepting=True, slots=8, total=Resources(vcpus=8, memory_mib=8192, disk_mib=8192), keep_runs=9)
KEY = RunKey("acme", "demo-1", 1)
REPORT = {"report.json": b'{"ok":true}', "sub/notes.txt": b"hi"}
COMPLETE = ["PlacementReceipt", "RunStarted", "RunArtifact", "ReplayArtifact", "RunFinished", "RunSeal"]


def reply(*assignments: Assignment, cancel: tuple[Cancellation, ...] = ()) -> HeartbeatReply:
    return HeartbeatReply(
        accepted=True, message="", assignments=assignments, cancellations=cancel, committed_index=0, heartbeat_seconds=5
    )


Start = Callable[..., Daemon]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts executors on one state directory; ends what is left of them."""
    daemons: list[Daemon] = []
    hosts: list[ScriptedHost] = []

    def make(host: ScriptedHost) -> Daemon:
        daemons.append(Daemon(tmp_path / "state", host))
        hosts.append(host)
        return daemons[-1]

    yield make
    await daemons[-1].stop()
    for host in {id(host): host for host in hosts}.values():
        host.dispose()


def stage(daemon: Daemon, key: RunKey = KEY) -> Stage:
    return daemon.state.attempt(key).load().stage


async def run_to_seal(daemon: Daemon, work: Assignment) -> list[Record]:
    daemon.attempts.apply(reply(work), ROOM)
    key = RunKey(work.tenant, work.run, work.epoch)
    await daemon.until(lambda: stage(daemon, key) is Stage.SEALED)
    return list(daemon.journal.attempt(key.tenant, key.run, key.epoch))


def kinds(records: list[Record]) -> list[str]:
    return [record.statement.kind for record in records]


def artifact(records: list[Record], kind: str) -> dict[str, Any]:
    (found,) = (record.statement.predicate.artifact for record in records if record.statement.kind == kind)
    return found


def out_dir(daemon: Daemon) -> Path:
    return daemon.state.attempt(KEY).out_dir("artifacts/demo")
