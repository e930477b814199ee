"""Every type of event of the families, with what its data must be. Pure.

Families: work_order, mail, agent, assignment, process, verify, patrol, metrics, compliance, decision, sprint and
objective.
"""

from typing import Final

from agentplane.domains.facts import FactType
from agentplane.domains.work.facts import agents, governance, mail, operations, processes, verification, work_orders
from agentplane.domains.work.facts.base import Fact
from agentplane.domains.work.streams import stream_of

DATA: Final[dict[str, type[Fact]]] = {
    "work_order.created": work_orders.Created,
    "work_order.updated": work_orders.Updated,
    "work_order.status_changed": work_orders.StatusChanged,
    "work_order.assigned": work_orders.Assigned,
    "work_order.closed": work_orders.Closed,
    "work_order.blocked": work_orders.Blocked,
    "work_order.stuck": work_orders.Stuck,
    "mail.sent": mail.Sent,
    "mail.delivered": mail.Delivered,
    "mail.read": mail.Read,
    "mail.archived": mail.Archived,
    "agent.started": agents.Started,
    "agent.assignment_checked": agents.AssignmentChecked,
    "agent.working": agents.Working,
    "agent.idle": agents.Idle,
    "agent.nudged": agents.Nudged,
    "agent.stopped": agents.Stopped,
    "agent.failure": agents.Failure,
    "agent.offline": agents.Offline,
    "assignment.set": agents.AssignmentSet,
    "assignment.checked": agents.AssignmentChecked,
    "assignment.cleared": agents.AssignmentCleared,
    "process.created": processes.Created,
    "process.step_started": processes.StepStarted,
    "process.step_completed": processes.StepCompleted,
    "process.completed": processes.Completed,
    "process.cancelled": processes.Cancelled,
    "verify.started": verification.Started,
    "verify.spec_created": verification.SpecCreated,
    "verify.tests_generated": verification.TestsGenerated,
    "verify.test_executed": verification.TestExecuted,
    "verify.audited": verification.Audited,
    "verify.verdict": verification.VerdictGiven,
    "verify.labelled": verification.Labelled,
    "patrol.completed": operations.PatrolCompleted,
    "metrics.snapshot": operations.Snapshot,
    "compliance.check_passed": governance.CheckPassed,
    "compliance.check_failed": governance.CheckFailed,
    "compliance.waived": governance.Waived,
    "compliance.violation_detected": governance.ViolationDetected,
    "compliance.remediation_started": governance.RemediationStarted,
    "compliance.remediation_completed": governance.RemediationCompleted,
    "decision.made": governance.Made,
    "decision.escalated": governance.Escalated,
    "decision.overridden": governance.Overridden,
    "decision.delegated": governance.Delegated,
    "sprint.scope_changed": governance.ScopeChanged,
    "objective.at_risk": governance.ObjectiveAtRisk,
}


_SLIPS: Final = {work_orders.StatusChanged: work_orders.slip_of_status, work_orders.Updated: work_orders.slip_of_status}


def _type(name: str, data: type[Fact]) -> FactType:
    words = (data.__doc__ or "").partition("\n")[0]
    return FactType(name=name, data=data, stream=stream_of, description=words, slip=_SLIPS.get(data))


FACTS: Final[tuple[FactType, ...]] = tuple(_type(name, data) for name, data in DATA.items())
