"""Assignments: what each agent is to do next, and how quickly it looks. Pure."""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from agentplane.domains.work.facts import agents as a
from agentplane.domains.work.facts.work_orders import Assigned
from agentplane.domains.work.projections.folding import agent, projection
from agentplane.domains.work.projections.stamps import Stamped, set_newest
from agentplane.events.model import StoredEvent

KIND: Final = "AssignmentStatus"


class AssignmentStatus(Stamped, frozen=True, kw_only=True):
    """One agent's assignment; `ref_id` None: nothing. Each check in the log is counted once."""

    ref_type: str | None = None  # work_order, mail, process
    ref_id: str | None = None
    assigned_by: str | None = None
    assigned_at: datetime | None = None
    checks: int = 0
    prompt_checks: int = 0  # answered within 30 seconds
    last_check_at: datetime | None = None
    last_response_ms: int | None = None
    last_action: str = ""


def _set(view: AssignmentStatus, stored: StoredEvent, said: a.AssignmentSet) -> AssignmentStatus:
    return _given(view, stored, said.ref_type, said.ref_id or said.work_order_id)


def _assigned(view: AssignmentStatus, stored: StoredEvent, said: Assigned) -> AssignmentStatus:
    return _given(view, stored, "work_order", said.work_order_id)


def _given(view: AssignmentStatus, stored: StoredEvent, ref_type: str, ref_id: str | None) -> AssignmentStatus:
    event = stored.event
    return set_newest(
        view, stored, 1, ref_type=ref_type, ref_id=ref_id, assigned_by=event.actor, assigned_at=event.time
    )


def _cleared(view: AssignmentStatus, stored: StoredEvent, _: a.AssignmentCleared) -> AssignmentStatus:
    return set_newest(view, stored, 0, ref_type=None, ref_id=None, assigned_by=None, assigned_at=None)


def _checked(view: AssignmentStatus, stored: StoredEvent, said: a.AssignmentChecked) -> AssignmentStatus:
    known = set_newest(
        view,
        stored,
        last_check_at=stored.event.time,
        last_response_ms=None if said.response_ms is None else round(float(said.response_ms)),
        last_action=said.action,
    )
    return replace(known, checks=view.checks + 1, prompt_checks=view.prompt_checks + said.prompt)


ASSIGNMENTS: Final = projection(
    "work_assignments",
    1,
    AssignmentStatus,
    KIND,
    agent,
    {
        "assignment.set": _set,
        "assignment.cleared": _cleared,
        "assignment.checked": _checked,
        "agent.assignment_checked": _checked,
        "work_order.assigned": _assigned,
    },
)
