"""What a real executor journals, exported and verified: the two sides were written apart and must agree."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentplane.canonical import digest_value
from agentplane.errors import Broken
from agentplane.evidence.dsse import envelope_bytes
from agentplane.evidence.export import select_attempt
from agentplane.evidence.export_file import Subject, open_within, read_export, write_export
from agentplane.evidence.keys import TrustedKeys
from agentplane.evidence.record import open_record
from agentplane.evidence.verify import VerifyReport, verify_export
from agentplane.runs.model import ArtifactFact, Expected, Resources
from agentplane.runs.pinned import Pinned
from agentplane.runs.protocol import Assignment, HeartbeatReply
from agentplane.runs.states import Outcome
from services.executor.reconcile import Room
from services.executor.runstate import RunKey, Stage
from tests.unit.executor.samples import BUNDLE, CONTROL_SIGNER, EXECUTOR_SIGNER, assignment
from tests.unit.executor.scripted import Daemon, ScriptedHost, ending

NOW = datetime(2027, 1, 1, tzinfo=UTC)
TRUSTED = TrustedKeys({who.identity: (who.public_key,) for who in (CONTROL_SIGNER, EXECUTOR_SIGNER)})
ROOM = Room(accepting=True, slots=8, total=Resources(vcpus=8, memory_mib=8192, disk_mib=8192), keep_runs=9)
REPORT = {"report.json": b'{"ok":true}', "sub/notes.txt": b"hi"}


class Place:
    """An executor's state directory and what it leaves there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemon: Daemon | None = None

    async def verified(self, host: ScriptedHost, work: Assignment) -> VerifyReport:
        daemon = self.daemon = Daemon(self.directory / "state", host)
        key = RunKey(work.tenant, work.run, work.epoch)
        reply = HeartbeatReply(
            accepted=True,
            message="",
            assignments=(work,),
            cancellations=(),
            committed_index=0,
            heartbeat_seconds=5,
        )
        daemon.attempts.apply(reply, ROOM)
        await daemon.until(lambda: daemon.state.attempt(key).load().stage is Stage.SEALED)
        control = [open_record(envelope_bytes(value), TRUSTED) for value in work.statements]
        records = select_attempt([*control, *daemon.journal.read()])
        files = open_within(daemon.state.attempt(key).out_dir(work.pins.out_dir))
        subject = Subject(
            bundle=dict(work.bundle),
            pinned=Pinned(pins=work.pins, replay_guest=work.replay_guest, expected=work.expected),
        )
        write_export(self.directory / "export", records, subject, TRUSTED, files)
        return verify_export(read_export(self.directory / "export"), TRUSTED, NOW)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    yield made
    if made.daemon:
        await made.daemon.stop()


def refusing() -> ScriptedHost:
    host = ScriptedHost(ending())
    host.refusal = Broken("nix-build ended with status 1", code="nix.build-failed")
    return host


def expected(content: bytes) -> Expected:
    import hashlib

    fact = ArtifactFact(path="report.json", sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    return Expected(run="demo-0", outcome=Outcome.EXITED, exit_code=0, artifacts=(fact,))


@pytest.mark.parametrize(
    ("host", "work"),
    [
        (lambda: ScriptedHost(ending(), REPORT), assignment()),
        (lambda: ScriptedHost(ending(), REPORT), assignment(lane="dev")),
        (lambda: ScriptedHost(ending(exit_code=3)), assignment()),
        (lambda: ScriptedHost(ending(Outcome.TIMEOUT, -1)), assignment()),
        (lambda: ScriptedHost(ending(Outcome.OOM_KILLED, -1)), assignment()),
        (lambda: ScriptedHost(ending(), {**REPORT, "run-seal.json": b"{}"}), assignment()),
        (refusing, assignment()),
        (lambda: ScriptedHost(ending(), {"report.json": b"1"}), assignment(expected=expected(b"1"))),
        (lambda: ScriptedHost(ending(), {"report.json": b"1"}), assignment(expected=expected(b"2"))),
    ],
    ids=["success", "lane dev", "exit 3", "timeout", "oom", "forged seal", "build failed", "match", "divergence"],
)
async def test_the_evidence_of_every_ending_verifies(place: Place, host: type[ScriptedHost], work: Assignment) -> None:
    report = await place.verified(host(), work)
    assert [(step.name, step.detail) for step in report.steps if not step.ok] == []
    assert report.verified
    assert report.about is not None
    assert report.about.bundle_digest == digest_value(BUNDLE)
