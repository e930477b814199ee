"""The states of a run and why it moves between them. Source: the seeds' agentic-runtime-state schema. Pure."""

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands."""

    CREATED = "created"
    QUEUED = "queued"
    WAITING_FOR_HUMAN = "waiting_for_human"
    WAITING_FOR_RESOURCE = "waiting_for_resource"
    LEASED = "leased"
    RUNNING = "running"
    RETRY_SCHEDULED = "retry_scheduled"
    REQUEUED = "requeued"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"  # cancelled by a person, or replaced
    QUARANTINED = "quarantined"  # its evidence does not verify


TERMINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.SUPERSEDED, RunState.QUARANTINED})
PLACEABLE = frozenset({RunState.QUEUED, RunState.WAITING_FOR_RESOURCE, RunState.REQUEUED})


class Outcome(StrEnum):
    """How an execution ended. Facts, not exceptions."""

    EXITED = "exited"  # the workload ended by itself; exit_code tells
    TIMEOUT = "timeout"  # the wall clock of the bundle ran out
    OOM_KILLED = "oom-killed"  # the host's limit killed it, not its own doing
    GUEST_CRASHED = "guest-crashed"  # the guest ended without saying how its workload did
    RESULT_REFUSED = "result-refused"  # the artifacts it handed out were hostile or too large
    CANCELLED = "cancelled"
    LOST = "lost"  # the executor cannot tell what happened to it
    BUILD_FAILED = "build-failed"  # Nix could not build the guest
    HOST_FAILED = (
        "host-failed"  # QEMU or the host failed: before the workload ran, or with a disk too full for what it left
    )
