"""What operators wish of executors: a token, approval, draining, resuming, retiring, revoking, new keys. Pure.

Each wish is stored with what follows from it in one append, on the executor's stream. Leases that end because their
executor leaves are ended in the same append, and their runs are placed again: nobody sees one without the other.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from agentplane.bus.subjects import TYPE
from agentplane.controllers import endings
from agentplane.controllers.decision import Decision
from agentplane.controllers.drafts import Draft
from agentplane.controllers.records import ExecutorRecord, RunKey
from agentplane.controllers.state import ControlState
from agentplane.enrolment import facts
from agentplane.enrolment.facts import Changed, PublicKeys
from agentplane.enrolment.keys import MIN_FINGERPRINT, fits
from agentplane.errors import Refused
from agentplane.events.codec import payload
from agentplane.events.model import Event
from agentplane.ids import DIGEST, DNS_LABEL
from agentplane.intents.runs import run_stream
from agentplane.runs.executors import KIND, SYSTEM_TENANT, executor_stream
from agentplane.runs.facts import LEASE_EXPIRED
from agentplane.runs.model import LeaseExpired

MAX_TTL_S: Final = 7 * 24 * 3600  # of a token
MAX_OVERLAP_S: Final = 30 * 24 * 3600  # of old and new keys

IsDeclared = Callable[[str], bool]
Step = Callable[[ControlState, ExecutorRecord, Event, Draft], None]


def decide(state: ControlState, intent: Event, is_declared: IsDeclared, now: datetime) -> Decision:
    """What follows from a wish. `is_declared`: whether the configuration knows an executor of this name.

    Raises:
        Refused: codes `intent.type`, `event.payload`, `executor.unknown`, `executor.left`, `executor.unchanged`,
            `executor.busy`, `executor.fingerprint`, `executor.name-taken`, `executor.token`, `executor.overlap`.
    """
    step = STEPS.get(intent.type)
    if step is None:
        raise Refused("no controller knows intents of this type", code="intent.type")
    name = intent.stream.name
    if intent.stream != executor_stream(name) or not DNS_LABEL.fullmatch(name):
        raise Refused(f"not the stream of an executor: {SYSTEM_TENANT}/{KIND}/default/<name>", code="intent.stream")
    executor = state.executor(name)
    _check_known(executor, intent, is_declared)
    draft = Draft("memberships", intent.id, correlation_id=intent.correlation_id, causation_id=intent.id, now=now)
    draft.take(intent, executor.version)
    step(state, executor, intent, draft)
    return draft.decision(wake_executors=(name,))


def _check_known(executor: ExecutorRecord, intent: Event, is_declared: IsDeclared) -> None:
    member = executor.enrolment.approved is not None or executor.key_id is not None or is_declared(executor.name)
    if intent.type in {facts.TOKEN_REQUESTED, facts.APPROVAL_REQUESTED}:
        if member:
            raise Refused(f"executor {executor.name} has joined before", code="executor.name-taken")
    elif not member:
        raise Refused(f"there is no executor {executor.name}", code="executor.unknown")
    if executor.enrolment.left and intent.type != facts.REVOCATION_REQUESTED:
        raise Refused(f"executor {executor.name} has left: {executor.enrolment.phase}", code="executor.left")


def _token(_state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    wish = payload(intent, facts.TokenRequested)
    if not DIGEST.fullmatch(wish.token_hash) or not 0 < wish.ttl_s <= MAX_TTL_S:
        raise Refused(f"a token counts for 1 to {MAX_TTL_S} seconds", code="executor.token")
    created = facts.TokenCreated(
        token_hash=wish.token_hash,
        expires_at=draft.now + timedelta(seconds=wish.ttl_s),
        zone=_zone(wish.zone),
        by=intent.actor,
    )
    draft.add(intent.stream, executor.version, facts.TOKEN_CREATED, created)


def _approve(_state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    wish = payload(intent, facts.ApprovalRequested)
    asking = [each for each in executor.enrolment.pending if fits(wish.fingerprint, each.key_id)]
    if not asking:
        raise Refused(
            f"nobody with this fingerprint asks for the name {executor.name}",
            code="executor.fingerprint",
            hint=f"at least {MIN_FINGERPRINT} digits of what the executor prints; `agentplane executor requests`",
        )
    keys = PublicKeys(key_id=asking[0].key_id, public_key=asking[0].public_key, nkey=asking[0].nkey)
    approved = facts.Approved(keys=keys, zone=_zone(wish.zone), by=intent.actor, reason=wish.reason[:500])
    draft.add(intent.stream, executor.version, facts.APPROVED, approved)


def _zone(zone: str | None) -> str | None:
    if zone is not None and (not TYPE.fullmatch(zone) or len(zone) > 63):  # noqa: PLR2004 - as all names
        raise Refused("a trust zone is a word of a-z, 0-9, '-', at most 63", code="executor.zone")
    return zone


def _drain(_state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    if executor.enrolment.draining is not None:
        raise _unchanged(executor, f"is draining {executor.enrolment.draining.words()}")
    draft.add(intent.stream, executor.version, facts.DRAINING, _changed(intent, payload(intent, facts.Wish).reason))


def _resume(_state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    if executor.enrolment.draining is None:
        raise _unchanged(executor, "is not draining")
    draft.add(intent.stream, executor.version, facts.RESUMED, _changed(intent, payload(intent, facts.Wish).reason))


def _retire(state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    wish = payload(intent, facts.RetirementRequested)
    if executor.leases and not wish.force:
        runs = ", ".join(lease.run for lease in executor.leases[:5])
        raise Refused(
            f"executor {executor.name} holds {len(executor.leases)} run(s): {runs}",
            code="executor.busy",
            hint="drain it and wait, or retire it with --force: its runs are placed again elsewhere",
        )
    draft.add(intent.stream, executor.version, facts.RETIRED, _changed(intent, wish.reason))
    _end_leases(state, executor, draft, f"executor {executor.name} was retired by {intent.actor}", "retired")


def _revoke(state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    if executor.enrolment.revoked is not None:
        raise _unchanged(executor, f"is revoked {executor.enrolment.revoked.words()}")
    draft.add(intent.stream, executor.version, facts.REVOKED, _changed(intent, payload(intent, facts.Wish).reason))
    _end_leases(state, executor, draft, f"executor {executor.name} was revoked by {intent.actor}", "revoked")


def _rotate(_state: ControlState, executor: ExecutorRecord, intent: Event, draft: Draft) -> None:
    wish = payload(intent, facts.RotationRequested)
    if not 0 <= wish.overlap_s <= MAX_OVERLAP_S:
        raise Refused(f"keys overlap for 0 to {MAX_OVERLAP_S} seconds", code="executor.overlap")
    started = facts.RotationStarted(overlap_s=wish.overlap_s, by=intent.actor, reason=wish.reason[:500])
    draft.add(intent.stream, executor.version, facts.ROTATION_STARTED, started)


def _changed(intent: Event, reason: str) -> Changed:
    return Changed(by=intent.actor, reason=reason[:500])


def _unchanged(executor: ExecutorRecord, how: str) -> Refused:
    return Refused(f"executor {executor.name} {how} already", code="executor.unchanged")


def _end_leases(state: ControlState, executor: ExecutorRecord, draft: Draft, message: str, reason: str) -> None:
    """What it holds is fenced and placed again."""
    for held in executor.leases:
        run = state.run(RunKey(held.tenant, held.run))
        if run is None or run.lease is None or run.lease.executor != executor.name:
            continue
        expired = LeaseExpired(executor=executor.name, epoch=run.lease.epoch, message=message)
        draft.add(run_stream(*run.key), run.version, LEASE_EXPIRED, expired)
        endings.release(draft, run, run.lease, executor, reason)
        endings.lose(draft, run, run.lease, message)


STEPS: Final[dict[str, Step]] = {
    facts.TOKEN_REQUESTED: _token,
    facts.APPROVAL_REQUESTED: _approve,
    facts.DRAIN_REQUESTED: _drain,
    facts.RESUME_REQUESTED: _resume,
    facts.RETIREMENT_REQUESTED: _retire,
    facts.REVOCATION_REQUESTED: _revoke,
    facts.ROTATION_REQUESTED: _rotate,
}
