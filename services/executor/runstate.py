"""What an executor knows of one (run, epoch): the stages of its life, and the record that a crash leaves behind. Pure.

A stage is written when it is *complete*. After a crash the next one is done again, and each is idempotent:

| stage | complete means | done again after a crash |
|---|---|---|
| claimed | the epoch's directory exists, the assignment is in it | everything below |
| prepared | the source's hash is right, the guest is built | hash and build (the store remembers both) |
| started | `run-started` is in the journal, fsynced | nothing is journaled twice; launch, or adopt its shim |
| ended | the outcome is known and written | files are collected anew into a fresh directory |
| collected | the guest's files are in outDir, with their digests | each statement that the journal does not hold yet |
| sealed | all statements, `run-finished` and the seal are journaled | nothing |
"""

from enum import StrEnum

import msgspec

from agentplane.runners.plan import Ending, InputImage
from agentplane.runs.model import ArtifactFact, GuestPin, Resources, StorePath, Wire
from agentplane.runs.states import Outcome


class Stage(StrEnum):
    """How far a run has come here; see the module's table."""

    CLAIMED = "claimed"
    PREPARED = "prepared"
    STARTED = "started"
    ENDED = "ended"
    COLLECTED = "collected"
    SEALED = "sealed"


HOLDING = frozenset({Stage.CLAIMED, Stage.PREPARED, Stage.STARTED})  # the lease is in use, a guest may be alive


class RunKey(msgspec.Struct, frozen=True, order=True):
    """One attempt: a run under one lease epoch."""

    tenant: str
    run: str
    epoch: int

    def __str__(self) -> str:
        return f"{self.tenant}/{self.run}#{self.epoch}"


class Prepared(Wire, frozen=True, kw_only=True):
    """What the store holds for an attempt, checked against its pins."""

    spec: StorePath  # of the guest or process specification
    guest: GuestPin | None  # None for the process backend
    inputs: tuple[InputImage, ...]
    accelerator: str  # kvm, tcg, none


class Ended(Wire, frozen=True, kw_only=True):
    """How the workload ended, before its files are looked at."""

    outcome: Outcome
    exit_code: int  # 0..255, -1 where there is none
    message: str
    ended_at: str  # RFC 3339
    wall_clock_ms: int = 0
    timings_ms: dict[str, int] = msgspec.field(default_factory=dict)
    directory: str | None = None  # where the runner left console and result; None: nothing was launched
    result_complete: bool = False


def ended_of(ending: Ending, directory: str) -> Ended:
    """What a runner says of the launch that it kept in `directory`."""
    return Ended(
        outcome=ending.outcome,
        exit_code=ending.exit_code,
        message=ending.message,
        ended_at=ending.ended_at,
        wall_clock_ms=ending.timings_ms.get("ended", 0),
        timings_ms=ending.timings_ms,
        directory=directory,
        result_complete=ending.result_complete,
    )


class RunRecord(Wire, frozen=True, kw_only=True):
    """`state.json` of one attempt."""

    stage: Stage
    claimed_at: str  # RFC 3339
    journal_start: int = 1  # no record of this attempt has a lower index
    prepared: Prepared | None = None
    launch: int = 1  # the runner's attempt: 2 after the first ended before its workload began
    cancel_reason: str | None = None
    ended: Ended | None = None
    artifacts: tuple[ArtifactFact, ...] = ()  # of the guest's making
    seal_index: int | None = None  # the journal record that closes this attempt
    timings_ms: dict[str, int] = msgspec.field(default_factory=dict)


class LocalRun(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as `reconcile` sees it."""

    key: RunKey
    stage: Stage
    resources: Resources
    supervised: bool  # a task of this process carries it forward
    cancelled: bool = False
    missed: int = 0  # consecutive answers of control that did not name it
    seal_index: int | None = None
