"""Compliance: how things stand with each rule, for each work order that it was applied to. Pure.

Whether a waiver still holds depends on who looks, and when.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from agentplane.clock import parse_rfc3339
from agentplane.domains.views import Look
from agentplane.domains.work.facts import governance as g
from agentplane.domains.work.projections.folding import field, projection
from agentplane.domains.work.projections.stamps import Stamped, aware, set_newest
from agentplane.events.model import StoredEvent

KIND: Final = "RuleStatus"


class RuleState(StrEnum):
    """The newest word about a rule and a work order."""

    PASSED = "passed"
    FAILED = "failed"
    VIOLATED = "violated"
    REMEDIATING = "remediating"
    REMEDIATED = "remediated"
    WAIVED = "waived"


_RANK: Final = {each: number for number, each in enumerate(RuleState)}


class RuleStatus(Stamped, frozen=True, kw_only=True):
    """A rule, and a work order that it was applied to. Each event of the log is counted once."""

    rule_id: str = ""
    work_order_id: str | None = None  # None: it was applied to something else
    state: RuleState = RuleState.PASSED
    said_by: str = ""
    passed: int = 0
    failed: int = 0
    violations: int = 0
    waivers: int = 0
    waived_by: str | None = None
    waiver_expires_at: datetime | None = None
    justification: str = ""


def _entered(view: RuleStatus, stored: StoredEvent, said: g.Ruled, state: RuleState) -> RuleStatus:
    rank = _RANK[state]
    known = replace(view, rule_id=said.rule_id, work_order_id=said.work_order_id)
    return set_newest(known, stored, rank, state=state, said_by=stored.event.actor)


def _passed(view: RuleStatus, stored: StoredEvent, said: g.CheckPassed) -> RuleStatus:
    return replace(_entered(view, stored, said, RuleState.PASSED), passed=view.passed + 1)


def _failed(view: RuleStatus, stored: StoredEvent, said: g.CheckFailed) -> RuleStatus:
    return replace(_entered(view, stored, said, RuleState.FAILED), failed=view.failed + 1)


def _violated(view: RuleStatus, stored: StoredEvent, said: g.ViolationDetected) -> RuleStatus:
    return replace(_entered(view, stored, said, RuleState.VIOLATED), violations=view.violations + 1)


def _remediating(view: RuleStatus, stored: StoredEvent, said: g.RemediationStarted) -> RuleStatus:
    return _entered(view, stored, said, RuleState.REMEDIATING)


def _remediated(view: RuleStatus, stored: StoredEvent, said: g.RemediationCompleted) -> RuleStatus:
    return _entered(view, stored, said, RuleState.REMEDIATED)


def _waived(view: RuleStatus, stored: StoredEvent, said: g.Waived) -> RuleStatus:
    known = set_newest(
        _entered(view, stored, said, RuleState.WAIVED),
        stored,
        waived_by=said.waiver.approver,
        waiver_expires_at=aware(said.waiver.expires_at),
        justification=said.waiver.justification,
    )
    return replace(known, waivers=view.waivers + 1)


def present(row: dict[str, Any], look: Look) -> dict[str, Any]:
    """A rule with how it stands at a moment: a waiver that has run out waives nothing."""
    ends = row["waiverExpiresAt"] and parse_rfc3339(row["waiverExpiresAt"])
    over = row["state"] == RuleState.WAIVED and ends is not None and ends <= look.now
    return {**row, "standing": "waiver-expired" if over else row["state"]}


def _named(stored: StoredEvent) -> str | None:
    rule, order = field("rule_id")(stored), field("work_order_id")(stored)
    return f"{rule}/{order}" if rule and order else rule


RULES: Final = projection(
    "work_rules",
    2,
    RuleStatus,
    KIND,
    _named,
    {
        "compliance.check_passed": _passed,
        "compliance.check_failed": _failed,
        "compliance.violation_detected": _violated,
        "compliance.remediation_started": _remediating,
        "compliance.remediation_completed": _remediated,
        "compliance.waived": _waived,
    },
)
