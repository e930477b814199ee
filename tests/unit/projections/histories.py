"""Histories for projections: typed facts as an appender would store them."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from agentplane.events.codec import data_of
from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.ids import EventId
from agentplane.intents.runs import run_stream
from agentplane.runs import executors, facts, model
from agentplane.runs.executors import executor_stream
from agentplane.runs.model import Wire
from agentplane.runs.protocol import Acceleration
from agentplane.runs.states import Outcome
from tests.executors import host_facts

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
NAMESPACE = uuid.UUID(int=7)

FACTS = host_facts(
    kvm=Acceleration(usable=False, cause="absent: no /dev/kvm"),
    vcpus=2,
    memory_mib=2048,
    disk_mib=4096,
    versions={"qemu": "7.2"},
)

PINS = model.Pins(
    bundle="example-agent@1.0.0",
    bundle_digest="sha256:" + "a" * 64,
    source=model.StorePath(path="/nix/store/x-bundle", nar_hash="sha256:abc"),
    module="vm.nix",
    smoke="smoke.sh",
    inputs=(),
    backend_intent="microvm",
    network_mode="none",
    artifact_targets=("/artifacts",),
    resources=model.Resources(vcpus=1, memory_mib=256, disk_mib=64),
    lane="dev",
    max_run_seconds=60,
    fail_on_timeout=True,
    secrets=(),
    secret_ref_root=None,
    out_dir="artifacts",
    policy_digest="sha256:" + "b" * 64,
    seed="0",
    clock_base="2026-01-01T00:00:00Z",
)

GUEST = model.GuestPin(
    spec=model.StorePath(path="/nix/store/y-guest", nar_hash="sha256:def"), kernel="/nix/store/z-kernel", qemu="7.2"
)
TABLE = (
    model.Check(executor="exec-1", feasible=True, score=10, reasons=(), remedies=()),
    model.Check(
        executor="exec-2", feasible=False, score=None, reasons=("disabled: by inventory",), remedies=("enable",)
    ),
)
ARTIFACT = model.ArtifactFact(path="report.json", sha256="c" * 64, size_bytes=12)


def envelope(text: str) -> dict[str, Any]:
    return {"payload": text, "payloadType": "application/vnd.in-toto+json", "signatures": []}


class Log:
    """An append-only list that numbers as the store does."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []

    def add(self, stream: StreamId, type_: str, data: Wire | dict[str, Any], *, actor: str = "controller:runs") -> None:
        sequence = len(self.stored) + 1
        phase = Phase.INTENT if type_.endswith("requested") else Phase.FACT
        event = Event(
            id=EventId(uuid.uuid5(NAMESPACE, f"{sequence}/{stream}/{type_}")),
            stream=stream,
            phase=phase,
            type=type_,
            actor=actor,
            time=EPOCH,
            correlation_id=uuid.uuid5(NAMESPACE, str(stream)),
            data=data if isinstance(data, dict) else data_of(data),
        )
        version = sum(each.event.stream == stream for each in self.stored) + 1
        moment = EPOCH + timedelta(seconds=sequence)
        self.stored.append(StoredEvent(event=event, sequence=sequence, stream_version=version, recorded_at=moment))

    def run(self, name: str, *, tenant: str = "acme", outcome: Outcome | None = Outcome.EXITED) -> None:
        """A run from wish to end; outcome None: refused."""
        for type_, data, actor in run_story(name, tenant, outcome):
            self.add(run_stream(tenant, name), type_, data, actor=actor)

    def executor(self, name: str) -> None:
        stream = executor_stream(name)
        self.add(stream, executors.REGISTERED, executors.ExecutorRegistered(key_id="k", boot_id="b", facts=FACTS))
        leased = executors.ExecutorLeased(tenant="acme", run="r", epoch=1, backend="microvm", resources=PINS.resources)
        self.add(stream, executors.LEASED, leased)


def run_story(name: str, tenant: str, outcome: Outcome | None) -> Iterable[tuple[str, Wire | dict[str, Any], str]]:
    user, control, executor = "user:alice", "controller:runs", "executor:exec-1"
    yield "run.requested", {"bundle": {"metadata": {"name": "example-agent", "version": "1.0.0"}}}, user
    if outcome is None:
        refused = model.RunRefused(code="bundle.invalid", message="2 findings", findings=({"code": "x"},))
        yield facts.REFUSED, refused, control
        return
    validation = envelope(f"validation of {tenant}/{name}")
    created = model.RunCreated(pins=PINS, bundle={}, bundle_path="b.json", author="user:alice", validation=validation)
    yield facts.CREATED, created, control
    yield facts.QUEUED, facts.RunQueued(), control
    yield facts.WAITING, model.RunWaiting(state="waiting_for_resource", message="nobody fits", table=TABLE), control
    placed = model.RunPlaced(
        executor="exec-1",
        ssh_ref="",
        epoch=1,
        backend="microvm",
        table=TABLE,
        decision=envelope(f"decision of {tenant}/{name}"),
        lease_seconds=30,
    )
    yield facts.PLACED, placed, control
    yield facts.STARTED, model.RunStarted(executor="exec-1", epoch=1, guest=GUEST, accelerator="tcg"), executor
    evidence = model.RunEvidence(
        executor="exec-1", index=1, kind="RunArtifact", epoch=1, envelope=envelope(f"run of {name}"), fenced=False
    )
    yield facts.EVIDENCE, evidence, executor
    yield facts.FINISHED, finished(outcome), executor


def finished(outcome: Outcome) -> model.RunFinished:
    return model.RunFinished(
        executor="exec-1",
        epoch=1,
        outcome=outcome,
        succeeded=outcome is Outcome.EXITED,
        exit_code=0 if outcome is Outcome.EXITED else -1,
        message="",
        artifacts=(ARTIFACT,),
        run_dir="/var/lib/run",
        out_dir="/var/lib/run/artifacts",
        wall_clock_ms=1200,
        replay=model.ReplayVerdict(of="other", match=True, differences=()),
    )
