"""Agents: what each does, and when it was last heard of. Pure: whether it is stale depends on who looks, and when.

Only an agent's own events are a sign of its life: a nudge, or somebody's word that it is idle, is none.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from agentplane.clock import parse_rfc3339
from agentplane.domains.views import Look
from agentplane.domains.work.facts import agents as a
from agentplane.domains.work.projections.folding import agent, projection
from agentplane.domains.work.projections.stamps import Stamped, later, set_newest
from agentplane.events.model import StoredEvent

KIND: Final = "AgentStatus"


class AgentState(StrEnum):
    """What an agent does, as its events say."""

    STARTED = "started"
    WORKING = "working"
    IDLE = "idle"
    STOPPED = "stopped"
    FAILED = "failed"
    OFFLINE = "offline"


_RANK: Final = {each: number for number, each in enumerate(AgentState)}
_GONE: Final = frozenset({AgentState.STOPPED, AgentState.FAILED, AgentState.OFFLINE})


class AgentStatus(Stamped, frozen=True, kw_only=True):
    """One agent. Each event of the log is counted once."""

    state: AgentState = AgentState.STARTED
    last_seen: datetime | None = None  # None: only others spoke of it
    work_order_id: str | None = None
    profile: str | None = None
    session: str | None = None
    reason: str = ""
    starts: int = 0
    stops: int = 0
    failures: int = 0
    nudges: int = 0


def _entered(view: AgentStatus, stored: StoredEvent, state: AgentState, **values: object) -> AgentStatus:
    rank = _RANK[state]
    return _seen(set_newest(view, stored, rank, state=state, **values), stored)


def _seen(view: AgentStatus, stored: StoredEvent) -> AgentStatus:
    own = stored.event.actor == view.name
    return replace(view, last_seen=later(view.last_seen, stored.event.time)) if own else view


def _started(view: AgentStatus, stored: StoredEvent, said: a.Started) -> AgentStatus:
    known = _entered(view, stored, AgentState.STARTED, reason="", work_order_id=said.assigned_work_order)
    known = set_newest(known, stored, profile=said.profile, session=said.session_name)
    return replace(known, starts=view.starts + 1)


def _working(view: AgentStatus, stored: StoredEvent, said: a.Working) -> AgentStatus:
    return _entered(view, stored, AgentState.WORKING, reason="", work_order_id=said.work_order_id)


def _idle(view: AgentStatus, stored: StoredEvent, _: a.Idle) -> AgentStatus:
    return _entered(view, stored, AgentState.IDLE, reason="", work_order_id=None)


def _stopped(view: AgentStatus, stored: StoredEvent, said: a.Stopped) -> AgentStatus:
    known = _entered(view, stored, AgentState.STOPPED, reason=said.reason, work_order_id=None)
    return replace(known, stops=view.stops + 1)


def _failed(view: AgentStatus, stored: StoredEvent, said: a.Failure) -> AgentStatus:
    return replace(_entered(view, stored, AgentState.FAILED, reason=said.reason), failures=view.failures + 1)


def _offline(view: AgentStatus, stored: StoredEvent, said: a.Offline) -> AgentStatus:
    return _entered(view, stored, AgentState.OFFLINE, reason=said.reason)


def _nudged(view: AgentStatus, _: StoredEvent, __: a.Nudged) -> AgentStatus:
    return replace(view, nudges=view.nudges + 1)


def _checked(view: AgentStatus, stored: StoredEvent, _: a.AssignmentChecked) -> AgentStatus:
    return _seen(view, stored)


def present(row: dict[str, Any], look: Look) -> dict[str, Any]:
    """An agent with its `liveness` as of a moment: its state, or `stale` when it was silent for too long."""
    last = row["lastSeen"] and parse_rfc3339(row["lastSeen"])
    return {**row, "liveness": liveness(AgentState(row["state"]), last, look)}


def liveness(state: AgentState, last_seen: datetime | None, look: Look) -> str:
    """What an agent does as far as one can tell at a moment. Who has gone is not stale, but gone."""
    if state in _GONE:
        return state.value
    silent = last_seen is None or look.now - last_seen > look.stale_after
    return "stale" if silent else state.value


AGENTS: Final = projection(
    "work_agents",
    1,
    AgentStatus,
    KIND,
    agent,
    {
        "agent.started": _started,
        "agent.working": _working,
        "agent.idle": _idle,
        "agent.stopped": _stopped,
        "agent.failure": _failed,
        "agent.offline": _offline,
        "agent.nudged": _nudged,
        "agent.assignment_checked": _checked,
        "assignment.checked": _checked,
    },
)
