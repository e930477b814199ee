"""Facts of the family `work_order`. Source: VerMAS SCHEMAS.md and EVENTS.md; blocked and stuck: GOVERNANCE.md."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from agentplane.domains.work.facts.base import Agent, Fact, Line, Text, WorkOrderId


class Status(StrEnum):
    """How far a work order is."""

    OPEN = "open"
    ASSIGNED = "assigned"
    IN_PROGRESS = "in_progress"
    CLOSED = "closed"


class IssueType(StrEnum):
    """What sort of work it is."""

    TASK = "task"
    BUG = "bug"
    FEATURE = "feature"
    EPIC = "epic"
    MERGE_REQUEST = "merge-request"


class Ending(StrEnum):
    """How a work order ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"


StatusWord = Annotated[
    str,
    Meta(
        min_length=1, max_length=60, description="open, assigned, in_progress, closed, or what its source says: merged"
    ),
]
Title = Annotated[str, Meta(min_length=1, max_length=1000, description="What should be done")]
Sort = Annotated[
    str, Meta(max_length=60, description="task, bug, feature, epic, merge-request, or what its source says")
]
Priority = Annotated[int, Meta(ge=0, le=4, description="0 is the most urgent, 4 the least")]


class Created(Fact, frozen=True, kw_only=True):
    """A work order is there."""

    work_order_id: WorkOrderId
    title: Title
    description: Text = ""
    issue_type: Sort = IssueType.TASK.value
    priority: Priority = 2
    created_by: Agent | None = None
    labels: tuple[Line, ...] = ()


class Changes(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """New values; a field that is left out stays."""

    title: Title | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType = msgspec.UNSET
    issue_type: Sort | msgspec.UnsetType = msgspec.UNSET
    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    labels: tuple[Line, ...] | msgspec.UnsetType = msgspec.UNSET
    assignee: Agent | msgspec.UnsetType | None = msgspec.UNSET
    status: StatusWord | msgspec.UnsetType = msgspec.UNSET


class Updated(Fact, frozen=True, kw_only=True):
    """Fields of a work order changed."""

    work_order_id: WorkOrderId
    changes: Changes


class StatusChanged(Fact, frozen=True, kw_only=True):
    """A work order went from one status to another."""

    work_order_id: WorkOrderId
    from_status: StatusWord | None = None
    to_status: StatusWord


class Assigned(Fact, frozen=True, kw_only=True):
    """A work order was given to an agent."""

    work_order_id: WorkOrderId
    agent: Agent
    assignment_path: Line | None = None


class Closed(Fact, frozen=True, kw_only=True):
    """A work order ended."""

    work_order_id: WorkOrderId
    reason: Text = ""
    ending: Annotated[Ending, Meta(description="Counted by `agentplane eval completion`")] = Ending.COMPLETED


class Blocked(Fact, frozen=True, kw_only=True):
    """A work order waits for something else."""

    work_order_id: WorkOrderId
    blocked_by: tuple[WorkOrderId, ...] = ()
    reason: Text = ""


class Stuck(Fact, frozen=True, kw_only=True):
    """Nobody gets on with a work order."""

    work_order_id: WorkOrderId
    reason: Text = ""


def slip_of_status(said: StatusChanged | Updated) -> str | None:
    """A status that is none of ours is kept in a history; recorded by hand, it is a slip of the pen."""
    field, word = (
        ("to_status", said.to_status) if isinstance(said, StatusChanged) else ("changes.status", said.changes.status)
    )
    if isinstance(word, msgspec.UnsetType) or word in set(Status):
        return None
    return f"{field} is none of {', '.join(Status)}"
