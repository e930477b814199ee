"""A world without processes: a log that checks what the store checks, an executor that signs as the real one does.

Stories put inputs in, the pure controllers decide, the log takes the decision or says Conflict. Nothing here decides.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.controllers import cancels, heartbeats, leases, reports, runs, schedule
from agentplane.controllers.decision import Decision
from agentplane.controllers.heartbeats import Standing
from agentplane.controllers.leases import Patience
from agentplane.controllers.records import ExecutorRecord, RunKey, RunRecord
from agentplane.controllers.run_fold import fold_run
from agentplane.controllers.runs import Office
from agentplane.controllers.schedule import Scheme
from agentplane.controllers.state import ControlState
from agentplane.events.model import Event
from agentplane.evidence.journal import Head, advance, executor_journal, next_link
from agentplane.evidence.keys import Ed25519Signer, TrustedKeys, executor_identity
from agentplane.evidence.record import About, issue
from agentplane.evidence.report import finished_artifact, started_artifact
from agentplane.evidence.statement import RunRef
from agentplane.fleet.inventory import Inventory
from agentplane.intents.runs import request_cancel, request_run, run_stream
from agentplane.policy import Policy
from agentplane.runs.model import (
    ArtifactFact,
    GuestPin,
    RunFinished,
    RunRequested,
    RunStarted,
    StorePath,
)
from agentplane.runs.protocol import (
    ActiveRun,
    Assignment,
    HeartbeatReply,
    HeartbeatRequest,
)
from agentplane.runs.states import Outcome
from tests.executors import host_facts, node
from tests.scenario.log import Log
from tests.scenario.wishes import wish

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TENANT = "acme"
GUEST = GuestPin(
    spec=StorePath(path="/nix/store/" + "c" * 32 + "-guest", nar_hash="sha256:" + "d" * 52),
    kernel="/nix/store/" + "e" * 32 + "-kernel",
    qemu="7.2.0",
)
FACTS = host_facts()
RUN_STORY = [
    "run.requested",
    "run.created",
    "run.queued",
    "run.placed",
    "run.evidence",
    "run.started",
    "run.evidence",
    "run.finished",
]  # of a run whose workload ends by itself


def signer_for(identity: str) -> Ed25519Signer:
    """The same key for the same identity, every time."""
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(identity.encode().ljust(32, b".")[:32]), identity)


class Executor:
    """Signs journal records as an executor does; runs nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signer = signer_for(executor_identity(name))
        self.head: Head = executor_journal(name)
        self.run_heads: dict[str, str] = {}
        self.facts = FACTS
        self.active: tuple[ActiveRun, ...] = ()
        self.boot_id = "boot-1"

    def heartbeat(self) -> HeartbeatRequest:
        """What it says of itself."""
        return HeartbeatRequest(
            executor=self.name,
            key_id=self.signer.key_id,
            boot_id=self.boot_id,
            facts=self.facts,
            active=self.active,
            journal_index=self.head.index,
            journal_digest=self.head.digest or "",
        )

    def record(self, assignment: Assignment, artifact: dict[str, Any]) -> bytes:
        """Journal one record about an assignment."""
        record = issue(
            artifact,
            about=About(
                run=RunRef(tenant=assignment.tenant, name=assignment.run, epoch=assignment.epoch),
                bundle=assignment.pins.bundle,
                bundle_digest=assignment.pins.bundle_digest,
            ),
            link=next_link(self.head, run_previous=self.run_heads.get(assignment.run)),
            signer=self.signer,
        )
        self.head = advance(self.head, record.digest)
        self.run_heads[assignment.run] = record.digest
        return record.envelope

    def started(self, assignment: Assignment) -> bytes:
        """Journal that it runs."""
        started = RunStarted(executor=self.name, epoch=assignment.epoch, guest=GUEST, accelerator="kvm")
        return self.record(assignment, started_artifact(started))

    def finished(
        self, assignment: Assignment, outcome: Outcome = Outcome.EXITED, *, exit_code: int = 0, message: str = "done"
    ) -> bytes:
        """Journal how it ended."""
        finished = RunFinished(
            executor=self.name,
            epoch=assignment.epoch,
            outcome=outcome,
            succeeded=outcome is Outcome.EXITED and exit_code == 0,
            exit_code=exit_code,
            message=message,
            artifacts=(ArtifactFact(path="report.json", sha256="0" * 64, size_bytes=2),),
            run_dir="/var/lib/agentplane/runs/x",
            out_dir="/var/lib/agentplane/runs/x/artifacts",
            wall_clock_ms=1200,
        )
        return self.record(assignment, finished_artifact(finished))


class World:
    """One control process's view: the log, its fold, a clock, executors."""

    def __init__(self, *executors: str, policy: Policy | None = None, log: Log | None = None) -> None:
        self.log = log or Log()
        self.state = ControlState()
        self.now = START
        self.policy = policy or Policy()
        self.control = signer_for("control")
        self.executors = {name: Executor(name) for name in executors or ("exec-1",)}
        signers = [self.control, *(each.signer for each in self.executors.values())]
        self.trusted = TrustedKeys({signer.identity: (signer.public_key,) for signer in signers})
        self.office = Office(policy=self.policy, signer=self.control)
        self.scheme = scheme(self.policy, self.control, tuple(self.executors))
        self.patience = Patience()
        self.heard: dict[str, datetime] = {}
        self.since = START

    # --- the log -----------------------------------------------------------------------------------------------

    def take(self, decision: Decision) -> tuple[str, ...]:
        """Store a decision and fold it; the types of the events that are new."""
        before = len(self.log.events)
        self.log.append(decision.appends, self.now)
        self.fold()
        return tuple(stored.event.type for stored in self.log.events[before:])

    def fold(self) -> None:
        """Read on."""
        for stored in self.log.events[self.state.position :]:
            self.state.apply(stored)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def run(self, name: str) -> RunRecord:
        """A run that must be known."""
        record = self.state.run(RunKey(TENANT, name))
        assert record is not None
        return record

    def whole_run(self, name: str) -> RunRecord | None:
        """A run with everything that was ever said of it."""
        return fold_run(self.log.stream(run_stream(TENANT, name)))

    def executor(self, name: str = "exec-1") -> ExecutorRecord:
        """What control knows of an executor."""
        return self.state.executor(name)

    def types(self, name: str) -> list[str]:
        """The story of a run, in types."""
        return [stored.event.type for stored in self.log.stream(run_stream(TENANT, name))]

    def payload(self, name: str, type_: str) -> dict[str, Any]:
        """The data of a run's newest event of a type."""
        return [s.event.data for s in self.log.stream(run_stream(TENANT, name)) if s.event.type == type_][-1]

    # --- inputs ------------------------------------------------------------------------------------------------

    def intent(self, number: int = 1, wanted: RunRequested | None = None) -> Event:
        """A wish to run; the same number is the same wish."""
        intent_id = uuid.UUID(int=(number << 96) | number)
        return request_run(
            intent_id, tenant=TENANT, bundle_name="noop", actor="user:alice", now=START, wish=wanted or wish()
        )

    def decide_intent(self, intent: Event) -> Decision:
        """What control makes of a wish to run."""
        name = intent.data.get("replayOf")
        original = self.whole_run(name) if name else None
        return runs.decide(self.state, intent, original=original, office=self.office, now=self.now)

    def request(self, number: int = 1, wanted: RunRequested | None = None) -> str:
        """Wish to run, and have it stored; the run's name."""
        intent = self.intent(number, wanted)
        self.take(self.decide_intent(intent))
        return intent.stream.name

    def cancel(self, name: str, number: int = 900) -> Decision:
        """Wish to cancel."""
        intent = request_cancel(
            uuid.UUID(int=number), tenant=TENANT, run=name, actor="user:bob", now=self.now, reason="not needed"
        )
        return cancels.decide(self.state, intent, self.now)

    def last_heard(self, name: str) -> datetime:
        """As a control process's soft knowledge."""
        return max(self.heard.get(name, self.since), self.since)

    def decide_placement(self, name: str) -> Decision:
        """What the scheduler makes of a waiting run."""
        return schedule.decide(self.state, self.run(name), heard=self.heard.get, scheme=self.scheme, now=self.now)

    def place(self, name: str) -> tuple[str, ...]:
        """Look for an executor."""
        return self.take(self.decide_placement(name))

    def beat(self, name: str = "exec-1") -> HeartbeatReply:
        """A heartbeat, what it says stored, and the answer."""
        request = self.executors[name].heartbeat()
        standing = Standing(known=True, enabled=True, key_ids=frozenset({self.executors[name].signer.key_id}))
        assert heartbeats.objection(request, standing, self.now) is None
        self.heard[name] = self.now
        self.take(heartbeats.decide(self.state.executor(name), request, self.now))
        for key in cancels.untaken(self.state, request):
            self.take(cancels.end_untaken(self.state, key, request, self.now))
        return heartbeats.reply(self.state, request, 5)

    def decide_report(self, data: bytes, name: str = "exec-1") -> Decision:
        """What control makes of a report."""
        return reports.decide(self.state, reports.read_report(data, name, self.trusted), self.now)

    def report(self, data: bytes, name: str = "exec-1") -> tuple[str, ...]:
        """Deliver a report."""
        return self.take(self.decide_report(data, name))

    def decide_expiry(self, name: str) -> Decision:
        """What the passing of time makes of a lease."""
        run = self.run(name)
        holder = run.lease.executor if run.lease else ""
        return leases.expire(
            run,
            self.state.executor(holder),
            last_heard=self.last_heard(holder),
            now=self.now,
            patience=self.patience,
        )

    def expire(self, name: str) -> tuple[str, ...]:
        """Look at a lease."""
        return self.take(self.decide_expiry(name))

    # --- short cuts --------------------------------------------------------------------------------------------

    def leased(self, number: int = 1, wanted: RunRequested | None = None, *, on: str = "exec-1") -> Assignment:
        """A run that an executor has been told of."""
        self.beat(on)
        name = self.request(number, wanted)
        self.place(name)
        return self.assignment(name, on)

    def assignment(self, name: str, on: str = "exec-1") -> Assignment:
        """What an executor is told of a run."""
        found = [each for each in self.beat(on).assignments if each.run == name]
        assert len(found) == 1, f"{on} was told of {name} {len(found)} times"
        return found[0]


def scheme(policy: Policy, signer: Ed25519Signer, names: Iterable[str]) -> Scheme:
    """How to place on executors that are all alike."""
    nodes = tuple(node(name, ssh_ref=name) for name in names)
    inventory = Inventory(
        executors=nodes,
        builders=nodes,
        default_executor=None,
        default_builder=None,
        prefer_healthy=True,
        require_enabled=True,
    )
    return Scheme(inventory=inventory, policy=policy, signer=signer, lease_seconds=30)
