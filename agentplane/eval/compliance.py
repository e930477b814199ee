"""Compliance: does who is assigned act at once, and are the rules kept? Pure."""

from datetime import timedelta
from typing import Final

from agentplane.eval.model import Meaning, Metric, Section, Target, average, count, ratio
from agentplane.eval.observing import Observed, Seen

_FORMULA: Final = "checks with response_ms < 30000 / checks"
ALL_CHECKS: Final = Meaning(
    name="assignment_compliance",
    title="Prompt checks, of all",
    formula=_FORMULA,
    source="VerMAS EVENTS.md and EVALUATION.md together",
    counted="agent.assignment_checked and assignment.checked; one without response_ms is not prompt",
)
AGENT_CHECKS: Final = Meaning(
    name="assignment_compliance_agent",
    title="Prompt checks, of agent.assignment_checked",
    formula=_FORMULA,
    source="VerMAS EVENTS.md",
    counted="agent.assignment_checked; one without response_ms is not prompt",
)
ASSIGNMENT_CHECKS: Final = Meaning(
    name="assignment_compliance_assignment",
    title="Prompt checks, of assignment.checked",
    formula=_FORMULA,
    source="VerMAS EVALUATION.md",
    counted="assignment.checked; one without response_ms is not prompt",
)
RESPONSE: Final = Meaning(
    name="assignment_response_time",
    title="From assignment to work",
    formula="avg(assigned → agent.working)",
    source="VerMAS EVALUATION.md",
    counted="each work_order.assigned with the next agent.working on that work order",
    target=Target(words="< 30 s", below=30.0),
)
VIOLATIONS: Final = Meaning(
    name="assignment_violations",
    title="Agents that waited to be told",
    formula="agents with a check whose action is wait_for_confirmation",
    source="VerMAS EVALUATION.md",
    counted="distinct agents",
    target=Target(words="0", at_most=0.0),
)
RULES: Final = Meaning(
    name="rule_compliance",
    title="Rules kept",
    formula="check_passed / (check_passed + check_failed)",
    source="VerMAS GOVERNANCE.md names the events; the formula is ours",
    counted="compliance.check_passed and compliance.check_failed",
)
REMEDIATION: Final = Meaning(
    name="remediation_time",
    title="From violation to remediation",
    formula="avg(violation_detected → remediation_completed)",
    source="VerMAS GOVERNANCE.md names the events; the formula is ours",
    counted="each violation of a rule with the next remediation_completed of that rule",
)


def compliance(observed: Observed) -> Section:
    """The section `compliance`."""
    agent, assignment = observed.of("agent.assignment_checked"), observed.of("assignment.checked")
    waited = {seen.agent for seen in (*agent, *assignment) if seen.said.action.startswith("wait")}
    passed, failed = observed.of("compliance.check_passed"), observed.of("compliance.check_failed")
    return Section(
        name="compliance",
        title="Compliance",
        metrics=(
            _prompt(ALL_CHECKS, [*agent, *assignment]),
            _prompt(AGENT_CHECKS, agent),
            _prompt(ASSIGNMENT_CHECKS, assignment),
            average(RESPONSE, _responses(observed)),
            count(VIOLATIONS, len(waited)),
            ratio(RULES, len(passed), len(passed) + len(failed)),
            average(REMEDIATION, _remediations(observed)),
        ),
    )


def _prompt(meaning: Meaning, checks: list[Seen]) -> Metric:
    return ratio(meaning, sum(seen.said.prompt for seen in checks), len(checks))


def _responses(observed: Observed) -> list[timedelta]:
    waiting: dict[str, Seen] = {}
    spans = []
    for seen in observed.of("work_order.assigned", "agent.working"):
        name = seen.said.work_order_id
        if seen.type == "work_order.assigned":
            waiting[name] = seen
        elif name in waiting:
            spans.append(seen.at - waiting.pop(name).at)
    return spans


def _remediations(observed: Observed) -> list[timedelta]:
    open_: dict[str, Seen] = {}
    spans = []
    for seen in observed.of("compliance.violation_detected", "compliance.remediation_completed"):
        rule = seen.said.rule_id
        if seen.type == "compliance.violation_detected":
            open_.setdefault(rule, seen)
        elif rule in open_:
            spans.append(seen.at - open_.pop(rule).at)
    return spans
