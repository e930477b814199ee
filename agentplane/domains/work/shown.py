"""How the read models of the families are shown: the words of `agentplane get` and their columns. Pure."""

from collections.abc import Callable
from typing import Any, Final

from agentplane.domains.views import Grouping, Look, View
from agentplane.domains.work.projections import agents, processes, rules, verifications
from agentplane.domains.work.projections.agents import AGENTS
from agentplane.domains.work.projections.assignments import ASSIGNMENTS
from agentplane.domains.work.projections.messages import MESSAGES
from agentplane.domains.work.projections.processes import PROCESSES
from agentplane.domains.work.projections.rules import RULES
from agentplane.domains.work.projections.verifications import VERIFICATIONS
from agentplane.domains.work.projections.work_items import WORK_ITEMS

Present = Callable[[dict[str, Any], Look], dict[str, Any]]


def _plain(present: Present | None = None) -> Present:
    """Without the stamps, which only the fold needs."""

    def shown(row: dict[str, Any], look: Look) -> dict[str, Any]:
        found = present(row, look) if present else row
        return {name: value for name, value in found.items() if name != "stamps"}

    return shown


VIEWS: Final[tuple[View, ...]] = (
    View(
        plural="workitems",
        singular="workitem",
        projection=WORK_ITEMS,
        columns=(
            ("status", "status"),
            ("priority", "priority"),
            ("type", "issueType"),
            ("assignee", "assignee"),
            ("title", "title"),
        ),
        present=_plain(),
        streams="WorkOrder",
        description="Work orders: what is to be done, who does it, how far it is.",
    ),
    View(
        plural="messages",
        singular="message",
        projection=MESSAGES,
        columns=(
            ("state", "state"),
            ("from", "sender"),
            ("to", "recipient"),
            ("type", "messageType"),
            ("subject", "subject"),
        ),
        present=_plain(),
        streams="WorkMail",
        description="Messages between agents.",
    ),
    View(
        plural="mailboxes",
        singular="mailbox",
        projection=MESSAGES,
        columns=(("unread", "unread"), ("read", "read"), ("archived", "archived"), ("total", "total")),
        grouping=Grouping(by="recipient", count="state", values=("unread", "read", "archived"), rows="messages"),
        present=_plain(),
        description="Messages per recipient: unread, read, archived.",
    ),
    View(
        plural="agents",
        singular="agent",
        projection=AGENTS,
        columns=(
            ("liveness", "liveness"),
            ("state", "state"),
            ("work order", "workOrderId"),
            ("last seen", "lastSeen"),
            ("nudges", "nudges"),
        ),
        present=_plain(agents.present),
        streams="WorkAgent",
        description="Agents: what each does, and whether it was heard of lately.",
    ),
    View(
        plural="processes",
        singular="process",
        projection=PROCESSES,
        columns=(
            ("state", "state"),
            ("steps", "progress"),
            ("ready", "ready"),
            ("work order", "workOrderId"),
            ("template", "template"),
        ),
        present=_plain(processes.present),
        streams="WorkProcess",
        description="Processes and their steps.",
    ),
    View(
        plural="verifications",
        singular="verification",
        projection=VERIFICATIONS,
        columns=(("verdict", "verdict"), ("stage", "stage"), ("tests", "testsPassed"), ("reasoning", "reasoning")),
        present=_plain(verifications.present),
        streams="WorkVerification",
        description="Verifications of work orders: PASS, FAIL or NEEDS_HUMAN.",
    ),
    View(
        plural="assignments",
        singular="assignment",
        projection=ASSIGNMENTS,
        columns=(("what", "refType"), ("which", "refId"), ("checks", "checks"), ("within 30 s", "promptChecks")),
        present=_plain(),
        streams="WorkAssignment",
        description="What each agent is to do next, and how quickly it looks.",
    ),
    View(
        plural="compliance",
        singular="compliance",
        projection=RULES,
        columns=(
            ("standing", "standing"),
            ("passed", "passed"),
            ("failed", "failed"),
            ("violations", "violations"),
            ("said by", "saidBy"),
        ),
        present=_plain(rules.present),
        description="Compliance: how things stand with each rule, by work order.",
    ),
    View(
        plural="rules",
        singular="rule",
        projection=RULES,
        columns=(*((state.value, state.value) for state in rules.RuleState), ("total", "total")),
        grouping=Grouping(
            by="ruleId", count="state", values=tuple(state.value for state in rules.RuleState), rows="compliance"
        ),
        present=_plain(rules.present),
        streams="WorkRule",
        description="Rules: for how many work orders each is passed, failed, violated, …",
    ),
)
