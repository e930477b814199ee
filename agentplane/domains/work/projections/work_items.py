"""Work items: what is to be done, who does it and how far it is. Pure.

Facts of `work_order.*`, and what is applied as a WorkOrder. The status is the newest word; of one moment, the further
step (open, assigned, in progress, closed). `work_order.created` speaks of a status only where nobody else has.
"""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from agentplane.domains import resource as r
from agentplane.domains.work.controllers import KIND as WORK_ORDER
from agentplane.domains.work.controllers import id_of
from agentplane.domains.work.facts import work_orders as w
from agentplane.domains.work.facts.work_orders import Ending, IssueType, Status
from agentplane.domains.work.projections.folding import field, projection
from agentplane.domains.work.projections.stamps import Stamped, earlier, later, set_newest
from agentplane.events.model import StoredEvent
from agentplane.events.origin import is_imported

KIND: Final = "WorkItem"
_RANK: Final[dict[str, int]] = {Status.OPEN: 1, Status.ASSIGNED: 2, Status.IN_PROGRESS: 3, Status.CLOSED: 4}
_OWN_WORD: Final = 3  # a status of a source's own (`merged`) is some sort of progress


class WorkItem(Stamped, frozen=True, kw_only=True):
    """A work order as of all that is known of it. Times are those of the events. None: not known."""

    title: str = ""
    description: str = ""
    issue_type: str = IssueType.TASK.value
    priority: int = 2  # 0 the most urgent
    labels: tuple[str, ...] = ()
    created_by: str | None = None
    status: str = Status.OPEN.value  # one of Status, or a source's own word
    assignee: str | None = None
    blocked: str | None = None  # why it waits; None: it does not
    stuck: str | None = None
    ending: Ending | None = None  # how it ended; None: it did not, or nobody said how
    reason: str = ""
    removed: bool = False  # its WorkOrder was deleted; its history stays
    created_at: datetime | None = None
    assigned_at: datetime | None = None  # first
    started_at: datetime | None = None  # first
    closed_at: datetime | None = None  # last


def _created(view: WorkItem, stored: StoredEvent, said: w.Created) -> WorkItem:
    at = stored.event.time
    known = replace(view, created_at=earlier(view.created_at, at), created_by=said.created_by or stored.event.actor)
    return set_newest(
        known,
        stored,
        title=said.title,
        description=said.description,
        issue_type=said.issue_type,
        priority=said.priority,
        labels=said.labels,
    )


def _updated(view: WorkItem, stored: StoredEvent, said: w.Updated) -> WorkItem:
    changes = {
        name: value for name, value in msgspec.structs.asdict(said.changes).items() if value is not msgspec.UNSET
    }
    status = changes.pop("status", None)
    after = set_newest(view, stored, 1, **changes)
    return after if status is None else _moved(after, stored, status)


def _status_changed(view: WorkItem, stored: StoredEvent, said: w.StatusChanged) -> WorkItem:
    return _moved(view, stored, said.to_status)


def _assigned(view: WorkItem, stored: StoredEvent, said: w.Assigned) -> WorkItem:
    return _moved(set_newest(view, stored, 1, assignee=said.agent), stored, Status.ASSIGNED)


def _closed(view: WorkItem, stored: StoredEvent, said: w.Closed) -> WorkItem:
    after = _moved(view, stored, Status.CLOSED)
    return set_newest(after, stored, 5, ending=said.ending, reason=said.reason)


def _blocked(view: WorkItem, stored: StoredEvent, said: w.Blocked) -> WorkItem:
    return set_newest(view, stored, 1, blocked=said.reason or ", ".join(said.blocked_by) or "yes")


def _stuck(view: WorkItem, stored: StoredEvent, said: w.Stuck) -> WorkItem:
    return set_newest(view, stored, 1, stuck=said.reason or "yes")


def _moved(view: WorkItem, stored: StoredEvent, status: str) -> WorkItem:
    """Whoever moves on is neither blocked nor stuck any more; whoever is opened again has not ended."""
    at, rank = stored.event.time, _RANK.get(status, _OWN_WORD)
    reopened = {} if status == Status.CLOSED else {"ending": None, "reason": ""}
    after = set_newest(view, stored, rank, status=str(status), blocked=None, stuck=None, **reopened)
    match status:
        case Status.ASSIGNED:
            return replace(after, assigned_at=earlier(view.assigned_at, at))
        case Status.IN_PROGRESS:
            return replace(after, started_at=earlier(view.started_at, at))
        case Status.CLOSED:
            return replace(after, closed_at=later(view.closed_at, at))
        case _:
            return after


def _applied(view: WorkItem, stored: StoredEvent, _: dict[str, Any]) -> WorkItem:
    """Applied as a WorkOrder; its controllers say the rest as facts of the family."""
    return set_newest(view, stored, removed=False)


def _deleted(view: WorkItem, stored: StoredEvent, _: dict[str, Any]) -> WorkItem:
    return set_newest(view, stored, 1, removed=True)


def _named(stored: StoredEvent) -> str | None:
    event = stored.event
    if event.type in {r.APPLIED, r.DELETED}:
        stream = event.stream
        ours = stream.kind == WORK_ORDER and not is_imported(stream)
        return id_of(stream.namespace, stream.name) if ours else None
    return field("work_order_id")(stored)


WORK_ITEMS: Final = projection(
    "work_items",
    1,
    WorkItem,
    KIND,
    _named,
    {
        "work_order.created": _created,
        "work_order.updated": _updated,
        "work_order.status_changed": _status_changed,
        "work_order.assigned": _assigned,
        "work_order.closed": _closed,
        "work_order.blocked": _blocked,
        "work_order.stuck": _stuck,
        r.APPLIED: _applied,
        r.DELETED: _deleted,
    },
)
