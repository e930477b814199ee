"""Decisions about runs taken again: admission, placement, leases, cancellations, reports. Pure.

What they went by is the run's own history and what stands beside the decision (agentplane.controllers.recording). That
a run was looked at and nothing was decided leaves no trace, so it is not judged.
"""

import uuid
from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from agentplane.canonical import digest_bytes
from agentplane.controllers import cancels, leases, reports, runs, schedule
from agentplane.controllers.decision import Decision
from agentplane.controllers.leases import Patience
from agentplane.controllers.recording import (
    RULES_RECORDED,
    Decided,
    Rules,
    moment,
    read_decided,
    read_rules,
    records_of,
)
from agentplane.controllers.records import ExecutorRecord, RunKey, RunRecord
from agentplane.controllers.run_fold import apply_to_run
from agentplane.controllers.runs import Office
from agentplane.controllers.schedule import Scheme
from agentplane.controllers.state import ControlState
from agentplane.errors import AgentplaneError, Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event, StoredEvent
from agentplane.events.upcasting import Upcasters
from agentplane.evidence.dsse import envelope_bytes, open_envelope
from agentplane.evidence.keys import Signer
from agentplane.evidence.report import Report
from agentplane.evidence.statement import read_statement
from agentplane.intents.runs import CANCEL_REQUESTED, REQUESTED
from agentplane.runs import facts
from agentplane.runs.model import RunEvidence, RunRequested

# the event that a decision begins with, and who decides so
HEADS: Final = {
    (facts.CREATED, "controller:runs"): "runs",
    (facts.REFUSED, "controller:runs"): "runs",
    (facts.PLACED, "controller:placement"): "placement",
    (facts.WAITING, "controller:placement"): "placement",
    (facts.LEASE_EXPIRED, "controller:leases"): "leases",
    (facts.SUPERSEDED, "controller:cancels"): "cancels",
}


class Unknown(Exception):
    """What a decision went by is not in this history; the message says what."""


def controller_of(event: Event) -> str | None:
    """The run controller whose decision begins with this event; None: it begins none."""
    if event.stream.kind != facts.RUN_KIND:
        return None
    if event.type == facts.EVIDENCE and event.actor.startswith("executor:"):
        return "reports"
    return HEADS.get((event.type, event.actor))


class RunHistory:
    """The part of a log that is about runs, event by event."""

    def __init__(self, signer: Signer, upcasters: Upcasters) -> None:
        """`signer`: any key; signatures are not compared."""
        self.rules: dict[str, Rules] = {}  # by digest
        self._signer = signer
        self._upcasters = upcasters
        self._state = ControlState(upcasters)
        self._whole: dict[RunKey, RunRecord] = {}  # ended ones as well: replays read their original
        self._intents: dict[uuid.UUID, tuple[Event, RunRecord | None]] = {}  # and the run right before
        self._take: dict[str, Callable[[StoredEvent, Decided | None], Decision]] = {
            "runs": self._admit,
            "placement": self._place,
            "leases": self._expire,
            "cancels": self._cancel,
            "reports": self._report,
        }

    def apply(self, stored: StoredEvent) -> None:
        """Take the next event."""
        event = stored.event
        key = RunKey(event.stream.tenant, event.stream.name)
        if event.type in {REQUESTED, CANCEL_REQUESTED}:
            self._intents[event.id] = (event, self._state.run(key))
        self._state.take(stored)
        if event.stream.kind == facts.RUN_KIND:
            self._fold(key, stored)
        if event.type == RULES_RECORDED:
            rules = payload(event, Rules)
            self.rules[rules.digest()] = rules

    def again(self, controller: str, head: StoredEvent) -> Decision:
        """Take the decision again whose first event comes next. Raises Unknown."""
        try:
            return self._take[controller](head, read_decided(head.event.data))
        except AgentplaneError as error:
            raise Unknown(f"today it fails: {error.code}: {error}") from error

    def _fold(self, key: RunKey, stored: StoredEvent) -> None:
        try:
            self._whole[key] = apply_to_run(self._whole.get(key), self._upcasters.current(stored))
        except Refused:
            if key in self._whole:
                self._whole[key] = replace(self._whole[key], version=stored.stream_version)

    def _run(self, head: StoredEvent) -> RunRecord:
        run = self._state.run(RunKey(head.event.stream.tenant, head.event.stream.name))
        if run is None:
            raise Unknown("the run's beginning is not in this history")
        return run

    def _rules(self, by: Decided | None) -> Rules:
        if by is None or by.rules is None:
            raise Unknown("it was taken before rules were recorded")
        if by.rules not in self.rules:
            raise Unknown("its rules are not in this history")
        return self.rules[by.rules]

    def _intent(self, head: StoredEvent) -> tuple[Event, RunRecord | None]:
        known = self._intents.get(head.event.causation_id) if head.event.causation_id else None
        if known is None:
            raise Unknown("the intent is not in this history")
        return known

    def _admit(self, head: StoredEvent, by: Decided | None) -> Decision:
        intent, _ = self._intent(head)
        policy, _ = read_rules(self._rules(by))
        name = payload(intent, RunRequested).replay_of
        original = self._whole.get(RunKey(intent.stream.tenant, name)) if name else None
        office = Office(policy=policy, signer=self._signer)
        return runs.decide(self._state, intent, original=original, office=office, now=head.event.time)

    def _place(self, head: StoredEvent, by: Decided | None) -> Decision:
        rules = self._rules(by)
        if by is None or by.fleet is None:
            raise Unknown("the fleet was too large to be kept beside the decision")
        policy, inventory = read_rules(rules)
        now = head.event.time
        heard = {seen.name: moment(seen.heard_us, now) for alike in by.fleet for seen in alike.executors}
        scheme = Scheme(inventory=inventory, policy=policy, signer=self._signer, lease_seconds=rules.lease_seconds)
        with self._state.seeing(records_of(by.fleet)):
            return schedule.decide(self._state, self._run(head), heard=heard.get, scheme=scheme, now=now)

    def _expire(self, head: StoredEvent, by: Decided | None) -> Decision:
        rules, run = self._rules(by), self._run(head)
        last = moment(by.heard_us, head.event.time) if by else None
        if last is None or run.lease is None:
            raise Unknown("when the executor was last heard of is not recorded")
        waits = Patience(
            lease_seconds=rules.lease_seconds, start_grace_s=rules.start_grace_s, run_grace_s=rules.run_grace_s
        )
        executor = ExecutorRecord(name=run.lease.executor)
        return leases.expire(run, executor, last_heard=last, now=head.event.time, patience=waits)

    def _cancel(self, head: StoredEvent, _: Decided | None) -> Decision:
        try:
            intent, before = self._intent(head)
        except Unknown:
            raise Unknown("it followed from a heartbeat, which is not recorded") from None
        if before is None:
            raise Unknown("the run's beginning is not in this history")
        with self._state.as_it_was(before):
            return cancels.decide(self._state, intent, head.event.time)

    def _report(self, head: StoredEvent, _: Decided | None) -> Decision:
        said = payload(self._upcasters.current(head).event, RunEvidence)
        report = _read(said)
        record = ExecutorRecord(
            name=said.executor, journal_index=said.index - 1, journal_digest=report.previous, key_id=report.key_id
        )
        with self._state.seeing((record,)):
            return reports.decide(self._state, report, head.event.time)


def _read(said: RunEvidence) -> Report:
    data = envelope_bytes(said.envelope)
    opened = open_envelope(data)
    statement = read_statement(opened.payload)
    predicate = statement.predicate
    fields: dict[str, Any] = {"executor": said.executor, "key_id": opened.key_id, "kind": statement.kind}
    return Report(
        **fields,
        tenant=predicate.run.tenant,
        run=predicate.run.name,
        epoch=predicate.run.epoch,
        bundle_digest=statement.bundle_digest,
        index=predicate.chain.index,
        previous=predicate.chain.previous,
        digest=digest_bytes(data),
        artifact=predicate.artifact,
        envelope=said.envelope,
    )
