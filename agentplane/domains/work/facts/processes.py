"""Facts of the family `process`. Source: VerMAS SCHEMAS.md and WORKFLOWS.md."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from agentplane.domains.work.facts.base import Fact, Id, Line, Text, WorkOrderId

ProcessId = Annotated[Id, Meta(description="Of the process")]
StepId = Annotated[Id, Meta(description="Unique within the process")]


class StepEnding(StrEnum):
    """How a step ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step, and the steps that must be completed before it."""

    id: StepId
    title: Line = ""
    needs: tuple[StepId, ...] = ()


class Created(Fact, frozen=True, kw_only=True):
    """A process was made of a template."""

    process_id: ProcessId
    template: Line = ""
    work_order_id: WorkOrderId | None = None
    steps: Annotated[tuple[Step | StepId, ...], Meta(max_length=1000, description="Steps, or their ids alone")] = ()

    @property
    def plan(self) -> tuple[Step, ...]:
        """The steps, each id once."""
        steps = (Step(id=each) if isinstance(each, str) else each for each in self.steps)
        return tuple({each.id: each for each in steps}.values())


class StepStarted(Fact, frozen=True, kw_only=True):
    """Work on a step began."""

    process_id: ProcessId
    step_id: StepId


class StepCompleted(Fact, frozen=True, kw_only=True):
    """A step ended."""

    process_id: ProcessId
    step_id: StepId
    status: StepEnding = StepEnding.COMPLETED


class Completed(Fact, frozen=True, kw_only=True):
    """All steps of a process are done."""

    process_id: ProcessId
    summary: Text = ""


class Cancelled(Fact, frozen=True, kw_only=True):
    """A process was given up."""

    process_id: ProcessId
    reason: Text = ""
