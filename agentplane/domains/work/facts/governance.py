"""Facts of the families `compliance`, `decision`, `sprint` and `objective`. Source: VerMAS GOVERNANCE.md."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from agentplane.domains.work.facts.base import Agent, Fact, Id, Line, Text, WorkOrderId

RuleId = Annotated[str, Meta(min_length=1, max_length=200, description="Of the rule: `DOC-001`")]


class Waiver(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who lets something pass, why, and until when."""

    approver: Agent | None = None
    justification: Text = ""
    expires_at: datetime | None = None
    review_by: datetime | None = None


class Ruled(Fact, frozen=True, kw_only=True):
    """A rule and what it was applied to."""

    rule_id: RuleId
    work_order_id: WorkOrderId | None = None
    details: dict[str, Any] | None = None


class CheckPassed(Ruled, frozen=True, kw_only=True):
    """A rule was kept."""


class CheckFailed(Ruled, frozen=True, kw_only=True):
    """A rule was not kept."""


class Waived(Ruled, frozen=True, kw_only=True):
    """Somebody let it pass."""

    waiver: Waiver = Waiver()


class ViolationDetected(Ruled, frozen=True, kw_only=True):
    """A rule was broken."""


class RemediationStarted(Ruled, frozen=True, kw_only=True):
    """Somebody mends it."""


class RemediationCompleted(Ruled, frozen=True, kw_only=True):
    """It is mended."""


class Decided(Fact, frozen=True, kw_only=True):
    """A decision, and by whose authority."""

    decision_type: Line = ""
    decision_id: Id | None = None
    authority_level: Annotated[int, Meta(ge=0, le=5, description="L0 to L5")] | None = None
    justification: Text | None = None
    work_order_id: WorkOrderId | None = None


class Made(Decided, frozen=True, kw_only=True):
    """Somebody decided."""


class Escalated(Decided, frozen=True, kw_only=True):
    """Somebody left the decision to a higher level."""

    escalated_from: Agent | None = None


class Overridden(Decided, frozen=True, kw_only=True):
    """Somebody decided otherwise than before."""

    overrides: Line | None = None


class Delegated(Decided, frozen=True, kw_only=True):
    """Somebody let another one decide."""

    delegated_to: Agent | None = None


class ScopeChanged(Fact, frozen=True, kw_only=True):
    """Work was added to a sprint or taken out."""

    sprint_id: Id | None = None
    added_points: int | None = None
    removed_points: int | None = None
    committed_points: int | None = None
    reason: Text = ""


class ObjectiveAtRisk(Fact, frozen=True, kw_only=True):
    """An objective may not be reached."""

    objective_id: Id | None = None
    reason: Text = ""
