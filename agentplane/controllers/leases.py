"""Leases: what happens when an executor is not heard of, or a run lasts longer than it may. Pure.

When an executor was last heard of is soft: each control process knows it for itself, counts from its own start (and
from every gap in its own attention), and several of them may come to different views. The log decides: an expiry is
an append at expected versions, so it happens once, and never to a lease that has changed meanwhile.

A lease expires when its executor was silent for `lease_seconds`, when the run was not reported as started within
`start_grace_s`, or when it runs longer than its bundle's limit and `run_grace_s` for what comes after (collecting
files, sealing, delivering).
"""

from datetime import datetime, timedelta

import msgspec

from agentplane.controllers import endings
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.drafts import Draft, source_of
from agentplane.controllers.recording import age_us, decided
from agentplane.controllers.records import ExecutorRecord, Lease, RunRecord
from agentplane.intents.runs import run_stream
from agentplane.runs import executors, facts
from agentplane.runs.executors import ExecutorUnreachable, executor_stream
from agentplane.runs.model import LeaseExpired


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long control waits, in seconds."""

    lease_seconds: int = 30  # of silence, until an executor counts as unreachable
    start_grace_s: int = 1800  # from lease to start: the guest may have to be built
    run_grace_s: int = 120  # beyond the bundle's maxRunSeconds
    rules: dict[str, str] = {}


def expire(
    run: RunRecord, executor: ExecutorRecord, *, last_heard: datetime, now: datetime, patience: Patience
) -> Decision:
    """End a lease whose time is over. `last_heard`: of the lease's executor, by this process."""
    lease = run.lease
    if lease is None or run.ended or (reason := _reason(run, lease, last_heard, now, patience)) is None:
        return NOTHING
    draft = Draft("leases", run.last_event, correlation_id=run.correlation_id, causation_id=run.last_event, now=now)
    by = decided("leases", rules=patience.rules.get(run.key.tenant), heard_us=age_us(last_heard, now))
    expired = LeaseExpired(executor=lease.executor, epoch=lease.epoch, message=reason, decided=by)
    draft.add(run_stream(*run.key), run.version, facts.LEASE_EXPIRED, expired)
    endings.release(draft, run, lease, executor, "lease-expired")
    endings.lose(draft, run, lease, reason)
    return draft.decision(wake_executors=(lease.executor,))


def _reason(run: RunRecord, lease: Lease, last_heard: datetime, now: datetime, patience: Patience) -> str | None:
    if now - max(last_heard, lease.placed_at) > timedelta(seconds=lease.lease_seconds):
        return f"executor {lease.executor} was not heard of for {lease.lease_seconds} seconds"
    if lease.started_at is None:
        limit = patience.start_grace_s
        return f"not started within {limit} seconds" if now - lease.placed_at > timedelta(seconds=limit) else None
    limit = (run.created.pins.max_run_seconds if run.created else 0) + patience.run_grace_s
    return f"not finished within {limit} seconds" if now - lease.started_at > timedelta(seconds=limit) else None


def watch(executor: ExecutorRecord, *, last_heard: datetime, now: datetime, patience: Patience) -> Decision:
    """Say once that an executor is not heard of any more."""
    silent = now - last_heard > timedelta(seconds=patience.lease_seconds)
    if executor.key_id is None or not executor.reachable or not silent:
        return NOTHING
    draft = executor_draft(executor, now)
    message = f"no heartbeat for {patience.lease_seconds} seconds"
    draft.add(
        executor_stream(executor.name), executor.version, executors.UNREACHABLE, ExecutorUnreachable(message=message)
    )
    return draft.decision()


def executor_draft(executor: ExecutorRecord, now: datetime) -> Draft:
    """Begin a decision about an executor, upon what it is now."""
    name = source_of(f"executor/{executor.name}")
    source = executor.last_event or name
    return Draft("executors", source, correlation_id=name, causation_id=executor.last_event, now=now)
