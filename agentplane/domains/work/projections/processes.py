"""Processes and their steps. Pure.

A step that has begun or ended is what its newest event says. One that has not is `ready` when all it needs is
completed or skipped, else `blocked`; and `pending` when its process is over without it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.domains.work.facts import processes as p
from agentplane.domains.work.projections.folding import field, projection
from agentplane.domains.work.projections.stamps import Stamped, earlier, later, set_newest, stamp_of
from agentplane.events.model import StoredEvent
from agentplane.runs.model import Wire

KIND: Final = "ProcessStatus"


class StepState(StrEnum):
    """How far a step is."""

    PENDING = "pending"
    BLOCKED = "blocked"
    READY = "ready"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


_DONE: Final = frozenset({StepState.COMPLETED, StepState.SKIPPED})


class ProcessState(StrEnum):
    """How far a process is."""

    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class PlannedStep(Wire, frozen=True, kw_only=True):
    """A step as the process's plan has it."""

    id: str
    title: str = ""
    needs: tuple[str, ...] = ()


class StepReport(Wire, frozen=True, kw_only=True):
    """What was heard of a step. `stamp`: of the event that had the last word."""

    state: StepState
    stamp: str
    started_at: datetime | None = None  # first
    ended_at: datetime | None = None  # last


class StepStatus(Wire, frozen=True, kw_only=True):
    """One step as people see it."""

    id: str
    title: str
    needs: tuple[str, ...]
    state: StepState
    started_at: datetime | None
    ended_at: datetime | None


class ProcessStatus(Stamped, frozen=True, kw_only=True):
    """One process. `steps` follow from plan and reports: those of the plan, then others that events name, by id."""

    template: str = ""
    work_order_id: str | None = None
    state: ProcessState = ProcessState.ACTIVE
    message: str = ""  # how it ended
    steps: tuple[StepStatus, ...] = ()
    created_at: datetime | None = None  # None: its plan has not come yet
    ended_at: datetime | None = None
    plan: tuple[PlannedStep, ...] = ()
    reports: dict[str, StepReport] = msgspec.field(default_factory=dict)


def _created(view: ProcessStatus, stored: StoredEvent, said: p.Created) -> ProcessStatus:
    plan = tuple(PlannedStep(id=step.id, title=step.title, needs=step.needs) for step in said.plan)
    known = set_newest(view, stored, template=said.template, work_order_id=said.work_order_id, plan=plan)
    return _settled(replace(known, created_at=earlier(view.created_at, stored.event.time)))


def _step_started(view: ProcessStatus, stored: StoredEvent, said: p.StepStarted) -> ProcessStatus:
    return _reported(view, stored, said.step_id, StepState.IN_PROGRESS)


def _step_completed(view: ProcessStatus, stored: StoredEvent, said: p.StepCompleted) -> ProcessStatus:
    return _reported(view, stored, said.step_id, StepState(said.status.value))


def _completed(view: ProcessStatus, stored: StoredEvent, said: p.Completed) -> ProcessStatus:
    return _ended(view, stored, 1, ProcessState.COMPLETED, said.summary)


def _cancelled(view: ProcessStatus, stored: StoredEvent, said: p.Cancelled) -> ProcessStatus:
    return _ended(view, stored, 2, ProcessState.CANCELLED, said.reason)


def _ended(view: ProcessStatus, stored: StoredEvent, rank: int, state: ProcessState, message: str) -> ProcessStatus:
    known = set_newest(view, stored, rank, state=state, message=message)
    return _settled(replace(known, ended_at=later(view.ended_at, stored.event.time)))


def _reported(view: ProcessStatus, stored: StoredEvent, step: str, state: StepState) -> ProcessStatus:
    at, begins = stored.event.time, state is StepState.IN_PROGRESS
    stamp = stamp_of(stored, 0 if begins else 1)
    known = view.reports.get(step) or StepReport(state=state, stamp=stamp)
    report = StepReport(
        state=state if known.stamp <= stamp else known.state,
        stamp=max(known.stamp, stamp),
        started_at=earlier(known.started_at, at) if begins else known.started_at,
        ended_at=known.ended_at if begins else later(known.ended_at, at),
    )
    return _settled(replace(view, reports={**view.reports, step: report}))


def _settled(view: ProcessStatus) -> ProcessStatus:
    planned = {step.id for step in view.plan}
    stray = tuple(PlannedStep(id=name) for name in sorted(view.reports.keys() - planned))
    done = {name for name, report in view.reports.items() if report.state in _DONE}
    return replace(view, steps=tuple(_status(view, step, done) for step in (*view.plan, *stray)))


def _status(view: ProcessStatus, step: PlannedStep, done: set[str]) -> StepStatus:
    report = view.reports.get(step.id)
    return StepStatus(
        id=step.id,
        title=step.title,
        needs=step.needs,
        state=report.state if report else _unheard(view, step, done),
        started_at=report.started_at if report else None,
        ended_at=report.ended_at if report else None,
    )


def _unheard(view: ProcessStatus, step: PlannedStep, done: set[str]) -> StepState:
    if view.state is not ProcessState.ACTIVE:
        return StepState.PENDING
    return StepState.READY if done.issuperset(step.needs) else StepState.BLOCKED


def present(row: dict[str, Any], _: object) -> dict[str, Any]:
    """A process with how many of its steps are done, and which could be begun."""
    steps = row["steps"]
    done = sum(step["state"] in _DONE for step in steps)
    ready = [step["id"] for step in steps if step["state"] == StepState.READY]
    row = {name: value for name, value in row.items() if name not in {"plan", "reports"}}
    return {**row, "progress": f"{done}/{len(steps)}", "ready": ", ".join(ready)}


PROCESSES: Final = projection(
    "work_processes",
    1,
    ProcessStatus,
    KIND,
    field("process_id"),
    {
        "process.created": _created,
        "process.step_started": _step_started,
        "process.step_completed": _step_completed,
        "process.completed": _completed,
        "process.cancelled": _cancelled,
    },
)
