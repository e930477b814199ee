"""What control remembers of one run and of one executor: immutable records, replaced as facts come in. Pure."""

import uuid
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from agentplane.enrolment.model import NONE, Enrolment
from agentplane.enrolment.spans import NO_EVENTS, KeyEvents
from agentplane.evidence.journal import Head
from agentplane.runs.executors import ExecutorLeased
from agentplane.runs.model import RunCreated, RunFinished, RunStarted, RunWaiting
from agentplane.runs.protocol import ExecutorFacts
from agentplane.runs.states import PLACEABLE, TERMINAL, RunState


class RunKey(NamedTuple):
    """Which run: names are unique within a tenant."""

    tenant: str
    name: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A run's hold on an executor, as `run.placed` granted it."""

    executor: str
    epoch: int
    backend: str
    lease_seconds: int
    decision: dict[str, Any]  # the signed PlacementDecision (DSSE)
    placed_at: datetime
    started_at: datetime | None = None  # None: not reported as running yet


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to stop the run, and whose."""

    event_id: uuid.UUID
    by: str
    reason: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run, folded from its stream up to `version`."""

    key: RunKey
    version: int  # of its stream
    first_event: uuid.UUID  # the intent that asked for it
    last_event: uuid.UUID  # at that version: what the next decision about the run derives its ids from
    sequence: int  # of its first event: first come, first placed
    correlation_id: uuid.UUID
    state: RunState
    control_head: Head  # the journal that control keeps for this run
    created: RunCreated | None = None  # None: refused, or ended (reread its stream)
    epoch: int = 0  # the highest ever leased
    holder: str | None = None  # whose reports of the current epoch count; None: nobody's
    lease: Lease | None = None
    attempted_on: str | None = None  # whom the newest lease was given to, also after it ended
    lost_on: tuple[str, ...] = ()  # the executors of the attempts that were lost, in order
    waiting: RunWaiting | None = None  # the newest wait since it last held a lease
    cancel: Cancel | None = None
    started: RunStarted | None = None  # of the current epoch
    finished: RunFinished | None = None  # dropped with `created` once nobody is going to need it

    @property
    def ended(self) -> bool:
        """Nothing but late evidence can come."""
        return self.state in TERMINAL

    @property
    def placeable(self) -> bool:
        """It waits for an executor."""
        return self.state in PLACEABLE and self.created is not None and self.cancel is None

    def current(self, executor: str, epoch: int) -> bool:
        """Whether a report of this executor under this epoch is about the attempt that counts."""
        return self.epoch == epoch and self.holder == executor


class ExecutorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One executor, folded from its stream up to `version`."""

    name: str
    version: int = 0
    last_event: uuid.UUID | None = None
    key_id: str | None = None  # None: never registered
    boot_id: str = ""
    facts: ExecutorFacts | None = None
    reachable: bool = True  # what the last of executor.unreachable and executor.recovered said
    leases: tuple[ExecutorLeased, ...] = ()
    fenced: str | None = None  # why nothing new is given to it; None: its word is taken
    journal_index: int = 0  # its journal is committed up to here
    journal_digest: str | None = None
    enrolment: Enrolment = NONE
    key_events: KeyEvents = NO_EVENTS  # at which events its keys came and went
