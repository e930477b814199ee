"""What to do, given what runs here and what control says. Pure.

Rules:
- an epoch is started at most once, and never after a higher one of the same run was seen here;
- a guest whose lease is lost is stopped; what already ended is still reported (control marks it fenced);
- a lower epoch of the same run must have ended before the higher one starts;
- an answer that does not accept us changes nothing that runs.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from agentplane.runs.model import Resources
from agentplane.runs.protocol import Assignment, HeartbeatReply
from services.executor.runstate import HOLDING, LocalRun, RunKey, Stage

# One answer may come from a control process that has not read the newest facts yet; two in a row do not.
MISSED_ANSWERS: Final = 2
FENCED: Final = "fenced"  # how control's reason begins when it does not find the lease


class Start(msgspec.Struct, frozen=True):
    """Claim this epoch and run it."""

    assignment: Assignment


class Decline(msgspec.Struct, frozen=True):
    """Claim this epoch only to give it back at once, so that control places the run elsewhere without waiting."""

    assignment: Assignment
    reason: str


class Resume(msgspec.Struct, frozen=True):
    """Carry an attempt forward that no task carries: adopt its guest, or finish its report."""

    key: RunKey


class Cancel(msgspec.Struct, frozen=True):
    """Stop the guest of this attempt and report it as cancelled."""

    key: RunKey
    reason: str


class Forget(msgspec.Struct, frozen=True):
    """Delete the files of an attempt whose evidence is committed; the newest few are kept."""

    key: RunKey


Action = Start | Decline | Resume | Cancel | Forget


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What new runs may still take of this host."""

    accepting: bool  # the state directory has space, and control's past fits ours
    draining: bool = False  # an operator wants this host empty
    slots: int
    total: Resources  # what this host gives to all its guests together
    keep_runs: int


def key_of(assignment: Assignment) -> RunKey:
    """The attempt that an assignment is about."""
    return RunKey(assignment.tenant, assignment.run, assignment.epoch)


def missed(local: Sequence[LocalRun], reply: HeartbeatReply) -> frozenset[RunKey]:
    """Which attempts that hold a lease an accepting answer did not name, or calls fenced."""
    if not reply.accepted:
        return frozenset()
    leases = named(reply)
    return frozenset(run.key for run in local if run.stage in HOLDING and run.key not in leases)


def named(reply: HeartbeatReply) -> frozenset[RunKey]:
    """All leases that an answer names, also those whose assignments did not fit it."""
    leases = (RunKey(lease.tenant, lease.run, lease.epoch) for lease in reply.leases)
    return frozenset((*leases, *map(key_of, reply.assignments)))


def more_to_come(local: Sequence[LocalRun], reply: HeartbeatReply) -> bool:
    """Whether control leases us runs that we neither have nor have been told of: the next answer has room for them."""
    told = {run.key for run in local} | {key_of(assignment) for assignment in reply.assignments}
    return reply.accepted and not named(reply) <= told


def reconcile(local: Sequence[LocalRun], reply: HeartbeatReply | None, room: Room) -> tuple[Action, ...]:
    """The actions that bring this host closer to what control says. `reply` None: control was not heard yet."""
    resumes = tuple(Resume(run.key) for run in local if run.stage is not Stage.SEALED and not run.supervised)
    if reply is None or not reply.accepted:
        return resumes
    cancels = _cancels(local, reply)
    return (*resumes, *cancels, *_starts(local, reply, room), *_forgets(local, reply.committed_index, room.keep_runs))


def _cancels(local: Sequence[LocalRun], reply: HeartbeatReply) -> tuple[Cancel, ...]:
    reasons = {run.key: _cancel_reason(run, reply) for run in local if run.stage in HOLDING and not run.cancelled}
    return tuple(Cancel(key, reason) for key, reason in reasons.items() if reason is not None)


def _cancel_reason(run: LocalRun, reply: HeartbeatReply) -> str | None:
    for cancellation in reply.cancellations:
        same_run = (cancellation.tenant, cancellation.run) == (run.key.tenant, run.key.run)
        certain = not cancellation.reason.startswith(FENCED) or run.missed >= MISSED_ANSWERS
        if same_run and cancellation.epoch >= run.key.epoch and certain:
            return cancellation.reason
    for lease in sorted(named(reply)):
        if (lease.tenant, lease.run) == (run.key.tenant, run.key.run) and lease.epoch > run.key.epoch:
            return f"fenced: epoch {lease.epoch} has replaced epoch {run.key.epoch}"
    if run.missed >= MISSED_ANSWERS:
        return "fenced: control no longer names this lease"
    return None


def _starts(local: Sequence[LocalRun], reply: HeartbeatReply, room: Room) -> tuple[Start | Decline, ...]:
    if not room.accepting:
        return ()
    holding = [run.resources for run in local if run.stage in HOLDING]
    starts: list[Start | Decline] = []
    for assignment in reply.assignments:
        wanted = assignment.pins.resources
        if not _startable(assignment, local, reply):
            continue
        if room.draining:
            starts.append(Decline(assignment, "this executor is draining"))
        elif len(holding) < room.slots and _fits(wanted, holding, room.total):
            holding.append(wanted)
            starts.append(Start(assignment))
    return tuple(starts)


def _startable(assignment: Assignment, local: Sequence[LocalRun], reply: HeartbeatReply) -> bool:
    key = key_of(assignment)
    rivals = [run for run in local if (run.key.tenant, run.key.run) == (key.tenant, key.run)]
    seen_or_higher = any(run.key.epoch >= key.epoch for run in rivals)
    still_running = any(run.stage in HOLDING for run in rivals)
    newest = max(other.epoch for other in reply.assignments if (other.tenant, other.run) == (key.tenant, key.run))
    cancelled = any(
        (item.tenant, item.run) == (key.tenant, key.run) and item.epoch >= key.epoch for item in reply.cancellations
    )
    return not (seen_or_higher or still_running or cancelled) and key.epoch == newest


def _forgets(local: Sequence[LocalRun], committed_index: int, keep_runs: int) -> tuple[Forget, ...]:
    done = [run for run in local if run.seal_index is not None and run.seal_index <= committed_index]
    newest_first = sorted(done, key=lambda run: run.seal_index or 0, reverse=True)
    return tuple(Forget(run.key) for run in newest_first[keep_runs:])


def _fits(wanted: Resources, holding: Sequence[Resources], total: Resources) -> bool:
    return (
        wanted.vcpus + sum(taken.vcpus for taken in holding) <= total.vcpus
        and wanted.memory_mib + sum(taken.memory_mib for taken in holding) <= total.memory_mib
        and wanted.disk_mib + sum(taken.disk_mib for taken in holding) <= total.disk_mib
    )
