"""What became of each piece of work: completed, failed, abandoned, or still under way. Pure.

A piece of work is a work order; a process that belongs to no work order of which anything was heard is one of its own.
"""

from collections import defaultdict
from typing import Final

from agentplane.domains.work.facts.processes import StepEnding
from agentplane.domains.work.facts.work_orders import Ending, Status
from agentplane.eval.observing import Observed, Seen

_KILLED: Final = ("kill", "abandon")


def outcomes(observed: Observed) -> dict[str, Ending]:
    """How each piece of work ended, by its name; those under way are not in it."""
    heard = {seen.said.work_order_id for seen in observed.facts if seen.type.startswith("work_order.")}
    found = _of_work_orders(observed)
    for unit, ending in _of_processes(observed, heard).items():
        if unit not in found:
            found[unit] = ending
    for unit in _of_killed_agents(observed):
        if unit in heard and unit not in found:
            found[unit] = Ending.ABANDONED
    return found


def closed(observed: Observed) -> dict[str, Seen]:
    """The last fact that closed each work order that was ever closed."""
    return {seen.said.work_order_id: seen for seen in observed.facts if _status(seen) == Status.CLOSED}


def _of_work_orders(observed: Observed) -> dict[str, Ending]:
    status: dict[str, str] = {}
    endings: dict[str, Ending] = {}
    for seen in observed.facts:
        now = _status(seen)
        if now is None:
            continue
        name = seen.said.work_order_id
        if now != Status.CLOSED:
            endings.pop(name, None)
        elif seen.type == "work_order.closed":
            endings[name] = seen.said.ending
        status[name] = now
    return {name: endings.get(name, Ending.COMPLETED) for name, now in status.items() if now == Status.CLOSED}


def _status(seen: Seen) -> str | None:
    match seen.type:
        case "work_order.closed":
            return Status.CLOSED
        case "work_order.status_changed":
            return str(seen.said.to_status)
        case "work_order.updated":
            changed = seen.said.changes.status
            return changed if isinstance(changed, str) else None
        case _:
            return None


def _of_processes(observed: Observed, heard: set[str]) -> dict[str, Ending]:
    owner = {
        seen.said.process_id: seen.said.work_order_id
        for seen in observed.of("process.created")
        if seen.said.work_order_id
    }
    found: dict[str, Ending] = {}
    for name, ending in sorted(_endings(observed).items()):
        unit = owner.get(name, f"process {name}")
        if not (unit in heard and ending is Ending.COMPLETED):  # such a work order is completed when it is closed
            found[unit] = min(found.get(unit, ending), ending, key=_BEST.index)
    return found


def _endings(observed: Observed) -> dict[str, Ending]:
    """Processes that ended, and those that stopped at a failed step."""
    found = {name: Ending.FAILED for name, steps in _failed_steps(observed).items() if steps}
    found |= {seen.said.process_id: Ending.COMPLETED for seen in observed.of("process.completed")}
    return found | {seen.said.process_id: Ending.ABANDONED for seen in observed.of("process.cancelled")}


def _failed_steps(observed: Observed) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for seen in observed.of("process.step_started", "process.step_completed"):
        steps = found[seen.said.process_id]
        if seen.type == "process.step_completed" and seen.said.status is StepEnding.FAILED:
            steps.add(seen.said.step_id)
        else:
            steps.discard(seen.said.step_id)
    return found


# of several processes of one piece of work the best one counts
_BEST: Final = [Ending.COMPLETED, Ending.FAILED, Ending.ABANDONED]


def _of_killed_agents(observed: Observed) -> set[str]:
    """Work orders whose agent was killed at them."""
    at_work: dict[str, str | None] = {}
    found: set[str] = set()
    for seen in observed.of("agent.started", "agent.working", "agent.idle", "agent.stopped"):
        match seen.type:
            case "agent.started":
                at_work[seen.agent] = seen.said.assigned_work_order
            case "agent.working":
                at_work[seen.agent] = seen.said.work_order_id
            case "agent.idle":
                continue
            case _:
                unit = at_work.pop(seen.agent, None)
                if unit and seen.said.reason.lower().startswith(_KILLED):
                    found.add(unit)
    return found
