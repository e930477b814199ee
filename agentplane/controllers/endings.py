"""How an attempt ends: finished, lost and tried again, cancelled, quarantined. Shared by reports and leases. Pure.

Each ending is one atomic append: what happened to the run, and that its executor is free of it.
"""

from typing import Final

from agentplane.controllers.drafts import Draft
from agentplane.controllers.records import ExecutorRecord, Lease, RunRecord
from agentplane.intents.runs import run_stream
from agentplane.runs import executors, facts
from agentplane.runs.executors import ExecutorReleased, executor_stream
from agentplane.runs.model import RunFinished, RunRequeued, RunSuperseded
from agentplane.runs.states import Outcome

MAX_ATTEMPTS: Final = 3  # an attempt that was lost is tried again, so often altogether


def release(draft: Draft, run: RunRecord, lease: Lease, executor: ExecutorRecord, reason: str) -> None:
    """The executor holds the run no longer."""
    gone = ExecutorReleased(tenant=run.key.tenant, run=run.key.name, epoch=lease.epoch, reason=reason)
    draft.add(executor_stream(executor.name), executor.version, executors.RELEASED, gone)


def finish(draft: Draft, run: RunRecord, finished: RunFinished) -> None:
    """The run has ended; a cancelled one also says on whose wish."""
    stream = run_stream(*run.key)
    draft.add(stream, run.version, facts.FINISHED, finished)
    if finished.outcome is Outcome.CANCELLED and run.cancel is not None:
        draft.add(stream, run.version, facts.SUPERSEDED, superseded(run))


def lose(draft: Draft, run: RunRecord, lease: Lease, message: str) -> None:
    """The attempt is lost: cancelled if someone wished so, tried again if that may help, else failed."""
    stream = run_stream(*run.key)
    if run.cancel is not None:
        draft.add(stream, run.version, facts.SUPERSEDED, superseded(run))
    elif len(run.lost_on) + 1 < MAX_ATTEMPTS:
        again = f"{message}; attempt {len(run.lost_on) + 2} of {MAX_ATTEMPTS}"
        draft.add(stream, run.version, facts.REQUEUED, RunRequeued(reason=again))
    else:
        draft.add(stream, run.version, facts.FINISHED, lost(lease, f"{message}, {MAX_ATTEMPTS} times in all"))


def superseded(run: RunRecord) -> RunSuperseded:
    """On whose wish the run ended. Needs `run.cancel`."""
    if run.cancel is None:
        raise ValueError(f"nobody asked to cancel {run.key}")
    return RunSuperseded(reason=run.cancel.reason, by=run.cancel.by)


def lost(lease: Lease, message: str) -> RunFinished:
    """What is known of a run that nobody can tell the end of."""
    return RunFinished(
        executor=lease.executor,
        epoch=lease.epoch,
        outcome=Outcome.LOST,
        succeeded=False,
        exit_code=-1,
        message=message,
        artifacts=(),
        run_dir="",
        out_dir="",
        wall_clock_ms=0,
    )
