"""Admission: `run.requested` becomes `run.created` and a place in the queue, or `run.refused` and nothing else. Pure.

The document is judged again here, by control's own policy: whatever the client found counts for nothing. The intent
itself is stored in the same append, first. The ValidationArtifact is signed either way: record 1 of the journal that
control keeps for the run.

A replay takes pins, guest and expectation from its original, and the original's validation as well: what is run again
was judged then. Policy of today still decides where it may be placed.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from agentplane.bundles.artifact import validation_artifact
from agentplane.bundles.findings import as_data
from agentplane.bundles.model import bundle_of
from agentplane.bundles.pins import pin
from agentplane.bundles.validate import validate
from agentplane.canonical import digest_value
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft
from agentplane.controllers.recording import decided
from agentplane.controllers.records import RunKey, RunRecord
from agentplane.controllers.state import ControlState
from agentplane.documents.model import Document
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event
from agentplane.evidence.dsse import envelope_bytes, envelope_value, open_envelope
from agentplane.evidence.journal import control_journal, next_link
from agentplane.evidence.keys import Signer
from agentplane.evidence.record import About, issue
from agentplane.evidence.statement import RunRef, read_statement
from agentplane.policy import Policy
from agentplane.replays.compare import NOT_CARRIED_OUT
from agentplane.runs import facts
from agentplane.runs.facts import RunQueued
from agentplane.runs.model import Expected, RunCreated, RunRefused, RunRequested, RunWaiting
from agentplane.runs.states import RunState

Envelope = dict[str, Any]


class Office(msgspec.Struct, frozen=True, kw_only=True):
    """What admission goes by."""

    policy: Policy
    signer: Signer
    rules: dict[str, str] = {}


def decide(
    state: ControlState, intent: Event, *, original: RunRecord | None, office: Office, now: datetime
) -> Decision:
    """What a wish to run leads to. `original`: the whole record of the run that is to be replayed, if there is one.

    Raises:
        Refused: codes `event.payload`, `intent.stream` (the name is another intent's), `evidence.…` (too large).
    """
    known = state.run(RunKey(intent.stream.tenant, intent.stream.name))
    if known is not None and known.first_event != intent.id:
        raise Refused("another intent has taken this name", code="intent.stream")
    if known is not None and known.version > 1:
        return NOTHING
    wish = payload(intent, RunRequested)
    draft = Draft("runs", intent.id, correlation_id=intent.correlation_id, causation_id=intent.id, now=now)
    if known is None:
        draft.take(intent, 0)
    version = known.version if known else 0
    by = decided("runs", rules=office.rules.get(intent.stream.tenant))
    first, *more = _admit(intent, wish, original, office, now)
    draft.add(intent.stream, version, first[0], replace(first[1], decided=by))
    for type_, fact in more:
        draft.add(intent.stream, version, type_, fact)
    return draft.decision()


def _admit(
    intent: Event, wish: RunRequested, original: RunRecord | None, office: Office, now: datetime
) -> tuple[tuple[str, msgspec.Struct], ...]:
    if not office.policy.admits(intent.stream.tenant):
        refusal = RunRefused(code="policy.tenant", message="the policy lets this tenant run nothing", findings=())
        return ((facts.REFUSED, refusal),)
    if wish.replay_of is not None:
        outcome = _replay(intent, wish.replay_of, original, office)
    else:
        outcome = _judge(intent, wish, office, now)
    if isinstance(outcome, RunRefused):
        return ((facts.REFUSED, outcome),)
    return ((facts.CREATED, outcome), _next(outcome, office.policy))


def _judge(intent: Event, wish: RunRequested, office: Office, now: datetime) -> RunCreated | RunRefused:
    document = Document.of(wish.bundle, origin=wish.bundle_path)
    report = validate(document, wish.files, office.policy)
    artifact = validation_artifact(report, now, bundle_path=wish.bundle_path)
    validation = _sign(intent, artifact, report.bundle, digest_value(wish.bundle), office.signer)
    if not report.valid:
        first = report.failures[0]
        return RunRefused(
            code="bundle.invalid",
            message=f"{len(report.failures)} findings; the first: {first.message}",
            findings=as_data(report.findings),
            validation=validation,
        )
    bundle = bundle_of(document, wish.files)
    return RunCreated(
        pins=pin(bundle, wish, office.policy.digest(), now),
        bundle=wish.bundle,
        bundle_path=wish.bundle_path,
        author=intent.actor,
        validation=validation,
        requested_executor=bundle.executor_ref or wish.executor,
    )


def _replay(intent: Event, name: str, original: RunRecord | None, office: Office) -> RunCreated | RunRefused:
    if original is None or original.created is None:
        return RunRefused(code="replay.unknown", message=f"there is no run {name[:63]!r} to replay", findings=())
    finished = original.finished
    if finished is None or finished.outcome in NOT_CARRIED_OUT:
        message = f"run {name} is {original.state} and left nothing to compare a replay with"
        return RunRefused(code="replay.unfinished", message=message, findings=())
    then, pins = original.created, original.created.pins
    validated = read_statement(open_envelope(envelope_bytes(then.validation)).payload)
    artifact = validated.predicate.artifact
    return RunCreated(
        pins=pins,
        bundle=then.bundle,
        bundle_path=then.bundle_path,
        author=intent.actor,
        validation=_sign(intent, artifact, pins.bundle, pins.bundle_digest, office.signer),
        requested_executor=then.requested_executor,
        replay_of=name,
        replay_guest=original.started.guest if original.started else None,
        expected=Expected(
            run=name, outcome=finished.outcome, exit_code=finished.exit_code, artifacts=finished.artifacts
        ),
    )


def _next(created: RunCreated, policy: Policy) -> tuple[str, msgspec.Struct]:
    if not policy.needs_gate(created.pins.lane, bundle_asks=_asks_for_gate(created.bundle)):
        return facts.QUEUED, RunQueued()
    message = f"lane {created.pins.lane} needs the approval of somebody other than {created.author}"
    return facts.WAITING, RunWaiting(state=RunState.WAITING_FOR_HUMAN, message=message)


def _asks_for_gate(bundle: dict[str, Any]) -> bool:
    asked = bundle.get("spec", {}).get("policy", {}).get("humanGateRequired")
    return asked is True


def _sign(intent: Event, artifact: dict[str, Any], bundle: str, digest: str, signer: Signer) -> Envelope:
    tenant, name = intent.stream.tenant, intent.stream.name
    about = About(run=RunRef(tenant=tenant, name=name, epoch=0), bundle=bundle, bundle_digest=digest)
    link = next_link(control_journal(tenant, name), run_previous=None)
    return envelope_value(issue(artifact, about=about, link=link, signer=signer).envelope)
