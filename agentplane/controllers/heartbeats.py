"""Heartbeats: who is alive, what it should be doing, and what it may forget. Pure and level-triggered.

Every answer says all of it again, so losing any number of them costs time only. An executor is accepted when the
inventory knows and enables it or it has joined, its key counts, and its journal does not contradict what is committed.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.leases import executor_draft
from agentplane.controllers.records import ExecutorRecord, RunKey, RunRecord
from agentplane.controllers.state import ControlState
from agentplane.enrolment import facts as enrolment
from agentplane.enrolment.model import KEY_EXPIRED, NONE, Enrolment
from agentplane.errors import Refused
from agentplane.runs import executors
from agentplane.runs.executors import ExecutorRecovered, ExecutorRegistered, ExecutorReported, executor_stream
from agentplane.runs.protocol import (
    MAX_REASON,
    MAX_REPLY_BYTES,
    ActiveRun,
    Assignment,
    Cancellation,
    ExecutorFacts,
    HeartbeatReply,
    HeartbeatRequest,
)

FENCED: Final = "fenced: another epoch has taken over, or the run has ended"
CLOCK_LIMIT_S: Final = 60  # that an executor's clock may be off
_DISK_STEP_MIB: Final = 1024  # free space moves all the time; less than this, and less than a tenth, is no news


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What this control plane thinks of an executor: by its configuration, and by what it knows of its joining."""

    known: bool  # the inventory names it, or it was approved
    enabled: bool
    key_ids: frozenset[str]  # ever trusted for it
    enrolment: Enrolment = NONE


def objection(request: HeartbeatRequest, standing: Standing, now: datetime) -> Refused | None:
    """Why an executor is not accepted: `executor.unknown`, `.disabled`, `.revoked`, `.retired`, `.key`, `.key-expired`.

    None when it is.
    """
    name, known = request.executor, standing.enrolment
    if gone := known.revoked or known.retired:
        return Refused(f"executor {name} is {known.phase} {gone.words()}", code=f"executor.{known.phase}")
    if not standing.known:
        return Refused(f"executor {name} is not in the inventory, and has not joined", code="executor.unknown")
    if not standing.enabled:
        return Refused(f"executor {name} is disabled in the inventory", code="executor.disabled")
    if known.mark(request.key_id, now) == KEY_EXPIRED:
        return Refused(f"key {request.key_id[:16]} was rotated out", code="executor.key-expired")
    if request.key_id not in standing.key_ids:
        message = f"key {request.key_id[:16]} is not trusted for {name}: is its public key installed here?"
        return Refused(message, code="executor.key")
    return None


def lost_journal(request: HeartbeatRequest, executor: ExecutorRecord) -> str:
    """How the executor's journal contradicts what is committed of it; empty when it does not.

    A heartbeat may be overtaken by a record that was written after it, so once is no proof: only a contradiction that
    lasts over several heartbeats is.
    """
    committed = executor.journal_index
    if request.journal_index < committed:
        return f"your journal ends at {request.journal_index}, but {committed} records of it are committed: restore it"
    if request.journal_index == committed > 0 and request.journal_digest != executor.journal_digest:
        return f"record {committed} of your journal is not the one that is committed: restore it"
    return ""


def refuse(refused: Refused, heartbeat_seconds: int) -> HeartbeatReply:
    """The answer to an executor that is not accepted: it changes nothing that runs there."""
    return HeartbeatReply(
        accepted=False,
        message=refused.message,
        code=refused.code,
        assignments=(),
        cancellations=(),
        committed_index=0,
        heartbeat_seconds=heartbeat_seconds,
    )


def decide(
    executor: ExecutorRecord, request: HeartbeatRequest, now: datetime, *, clock_limit_s: int = CLOCK_LIMIT_S
) -> Decision:
    """What an accepted heartbeat says that was not known: a new key, other facts, another boot, a clock, back again."""
    stream, draft, news = executor_stream(executor.name), executor_draft(executor, now), False
    if clock := _clock(executor, request, now, clock_limit_s):
        draft.add(stream, executor.version, *clock)
        news = True
    if executor.key_id != request.key_id:
        registered = ExecutorRegistered(key_id=request.key_id, boot_id=request.boot_id, facts=request.facts)
        draft.add(stream, executor.version, executors.REGISTERED, registered)
        return draft.decision()
    if not executor.reachable:
        draft.add(stream, executor.version, executors.RECOVERED, ExecutorRecovered(message="a heartbeat again"))
        news = True
    if executor.boot_id != request.boot_id or _differ(executor.facts, request.facts):
        reported = ExecutorReported(boot_id=request.boot_id, facts=request.facts)
        draft.add(stream, executor.version, executors.REPORTED, reported)
        news = True
    return draft.decision() if news else NOTHING


def _clock(
    executor: ExecutorRecord, request: HeartbeatRequest, now: datetime, limit_s: int
) -> tuple[str, enrolment.ClockOff | enrolment.ClockRight] | None:
    """The fact that its clock went off, or is right again; None: no news."""
    if request.clock is None or request.clock.tzinfo is None:
        return None
    skew_s = round((request.clock - now).total_seconds())
    off, was_off = abs(skew_s) > limit_s, executor.enrolment.clock is not None
    if off and not was_off:
        return enrolment.CLOCK_OFF, enrolment.ClockOff(skew_s=skew_s, limit_s=limit_s)
    if was_off and not off:
        return enrolment.CLOCK_RIGHT, enrolment.ClockRight(skew_s=skew_s)
    return None


def reply(state: ControlState, request: HeartbeatRequest, heartbeat_seconds: int) -> HeartbeatReply:
    """All that an accepted executor should be doing now."""
    executor = state.executor(request.executor)
    leased = [run for lease in executor.leases if (run := state.run(RunKey(lease.tenant, lease.run))) is not None]
    held = [run for run in leased if run.lease is not None and run.lease.executor == executor.name]
    return HeartbeatReply(
        accepted=True,
        message="",
        assignments=_that_fit(_untold_first([run for run in held if run.cancel is None], request.active)),
        cancellations=(*_cancelled(held), *_fenced(request.active, held)),
        committed_index=executor.journal_index,
        heartbeat_seconds=heartbeat_seconds,
        leases=tuple(_active(run) for run in held if run.cancel is None),
        rotate=executor.enrolment.rotation is not None,
    )


def _untold_first(held: list[RunRecord], active: Collection[ActiveRun]) -> list[RunRecord]:
    """Those that the executor does not have yet before those that it has, older ones before younger ones."""
    told = set(active)
    return sorted(held, key=lambda run: (_active(run) in told, run.sequence))


def _that_fit(runs: list[RunRecord]) -> tuple[Assignment, ...]:
    """The first assignments that fit an answer, one in any case; the next heartbeat's answer has the next ones."""
    fitting: list[Assignment] = []
    size = 0
    for run in runs:
        assignment = _assignment(run)
        size += len(msgspec.json.encode(assignment))
        if fitting and size > MAX_REPLY_BYTES:
            break
        fitting.append(assignment)
    return tuple(fitting)


def _active(run: RunRecord) -> ActiveRun:
    return ActiveRun(run=run.key.name, tenant=run.key.tenant, epoch=run.epoch)


def _differ(known: ExecutorFacts | None, said: ExecutorFacts) -> bool:
    if known is None or replace(known, disk_mib=said.disk_mib) != said:
        return True
    step = abs(known.disk_mib - said.disk_mib)
    return step >= _DISK_STEP_MIB or step * 10 >= max(known.disk_mib, 1)


def _assignment(run: RunRecord) -> Assignment:
    if run.lease is None or run.created is None:
        raise ValueError(f"{run.key} is not leased")
    return Assignment(
        tenant=run.key.tenant,
        run=run.key.name,
        epoch=run.lease.epoch,
        backend=run.lease.backend,
        pins=run.created.pins,
        bundle=run.created.bundle,
        bundle_path=run.created.bundle_path,
        statements=(run.created.validation, run.lease.decision),
        lease_seconds=run.lease.lease_seconds,
        correlation_id=str(run.correlation_id),
        replay_guest=run.created.replay_guest,
        expected=run.created.expected,
    )


def _cancelled(held: Collection[RunRecord]) -> tuple[Cancellation, ...]:
    return tuple(
        Cancellation(run=run.key.name, tenant=run.key.tenant, epoch=run.epoch, reason=run.cancel.reason[:MAX_REASON])
        for run in held
        if run.cancel is not None
    )


def _fenced(active: Collection[ActiveRun], held: Collection[RunRecord]) -> tuple[Cancellation, ...]:
    epochs = {run.key: run.epoch for run in held}
    return tuple(
        Cancellation(run=run.run, tenant=run.tenant, epoch=run.epoch, reason=FENCED)
        for run in active
        if epochs.get(RunKey(run.tenant, run.run)) != run.epoch
    )
