"""Facts of the families `agent` and `assignment`. Source: VerMAS SCHEMAS.md, EVENTS.md and HOOKS.md.

Where `agent` is left out, the event's actor is meant.
"""

from typing import Annotated, Final

from msgspec import Meta

from agentplane.domains.work.facts.base import Agent, Fact, Fraction, Id, Line, Millis, Text, WorkOrderId

PROMPT_MS: Final = 30_000


class Started(Fact, frozen=True, kw_only=True):
    """A session of an agent began."""

    agent: Agent | None = None
    session_name: Line | None = None
    worktree: Line | None = None
    profile: Line | None = None
    assigned_work_order: WorkOrderId | None = None


class AssignmentChecked(Fact, frozen=True, kw_only=True):
    """An agent looked whether there is work for it."""

    agent: Agent | None = None
    found: bool | None = None
    response_ms: Millis | Fraction | None = None  # from the start of its session until it acted
    action: Annotated[str, Meta(max_length=200, description="execute_immediately, wait_for_confirmation, …")] = ""

    @property
    def prompt(self) -> bool:
        """Whether it acted within 30 seconds; who says nothing of that did not."""
        return self.response_ms is not None and float(self.response_ms) < PROMPT_MS


class Working(Fact, frozen=True, kw_only=True):
    """An agent began to work."""

    agent: Agent | None = None
    work_order_id: WorkOrderId | None = None


class Idle(Fact, frozen=True, kw_only=True):
    """An agent has nothing to do, or does nothing."""

    agent: Agent | None = None
    idle_since: Line | int | None = None  # a time, or for how long, as its source says it
    last_activity: Line | None = None


class Nudged(Fact, frozen=True, kw_only=True):
    """Somebody reminded an agent."""

    agent: Agent | None = None
    reason: Text = ""


class Stopped(Fact, frozen=True, kw_only=True):
    """A session of an agent ended."""

    agent: Agent | None = None
    reason: Text = ""
    exit_code: int | None = None


class Failure(Fact, frozen=True, kw_only=True):
    """An agent failed."""

    agent: Agent | None = None
    reason: Text = ""


class Offline(Fact, frozen=True, kw_only=True):
    """An agent cannot be reached."""

    agent: Agent | None = None
    reason: Text = ""


RefType = Annotated[str, Meta(pattern="^(work_order|mail|process)$", description="What the reference is")]


class AssignmentSet(Fact, frozen=True, kw_only=True):
    """An agent was given something to do next."""

    agent: Agent | None = None
    ref_type: RefType = "work_order"
    ref_id: Id | None = None  # left out: work_order_id
    work_order_id: WorkOrderId | None = None


class AssignmentCleared(Fact, frozen=True, kw_only=True):
    """An agent has nothing to do next."""

    agent: Agent | None = None
    previous_ref: Line | None = None
