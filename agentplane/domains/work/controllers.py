"""What follows from a work order's document, and what its facts mean for its status. Pure."""

from typing import Any, Final

from agentplane.clock import rfc3339
from agentplane.domains.controller import Context, Controller, Decision, Emit, Watch
from agentplane.domains.work.facts.work_orders import Status
from agentplane.domains.work.specs import WorkOrder
from agentplane.events.model import Event

KIND: Final = "WorkOrder"
_STATUS: Final = {
    "work_order.created": Status.OPEN,
    "work_order.assigned": Status.ASSIGNED,
    "work_order.closed": Status.CLOSED,
}


class Announcement(Controller):
    """Say as facts of the family what a document says: created, updated, assigned."""

    NAME = "work-order-announcement"
    VERSION = 1
    WATCH = (Watch(kind=KIND, type="resource.applied"),)

    def reconcile(self, context: Context) -> Decision | None:
        """Emit what is new since the last time."""
        spec, name = context.spec, id_of(context.resource.namespace, context.resource.name)
        assert isinstance(spec, WorkOrder)  # noqa: S101 - its kind's model
        said = _said(spec)
        before = context.resource.status.get("announced")
        emit = _created(name, said) if before is None else _updated(name, before, said)
        if spec.assignee and (before or {}).get("assignee") != spec.assignee:
            emit += (_emit("assigned", name, agent=spec.assignee),)
        return Decision(
            status={"announced": said, "observedGeneration": context.resource.generation},
            message=", ".join(each.type for each in emit) or "nothing new",
            emit=emit,
        )


class Progress(Controller):
    """Keep the document's status as the newest fact about the work order has it."""

    NAME = "work-order-progress"
    VERSION = 1
    WATCH = (Watch(kind=KIND, type="work_order.*"),)

    def reconcile(self, context: Context) -> Decision | None:
        """Take an event's word unless a newer one, by its source's time, has spoken."""
        event, status = context.event, context.resource.status
        to_status, at = _to_status(event), rfc3339(event.time)
        if to_status is None or at < status.get("phaseSince", ""):
            return None
        if event.type == "work_order.created" and "phase" in status:
            return None
        patch: dict[str, Any] = {"phase": to_status, "phaseSince": at}
        if event.type == "work_order.assigned":
            patch["assignee"] = event.data.get("agent")
        return Decision(status=patch, message=f"{to_status} by {event.actor}"[:200])


def id_of(namespace: str, name: str) -> str:
    """The id of the work order that a document is about; that of the namespace `default` is its name."""
    return name if namespace == "default" else f"{namespace}/{name}"


def _to_status(event: Event) -> str | None:
    if event.type == "work_order.status_changed":
        word = event.data.get("to_status")
        return word if word in set(Status) else None
    return _STATUS.get(event.type)


def _said(spec: WorkOrder) -> dict[str, Any]:
    return {
        "title": spec.title,
        "description": spec.description,
        "issue_type": spec.issue_type.value,
        "priority": spec.priority,
        "assignee": spec.assignee,
    }


def _created(name: str, said: dict[str, Any]) -> tuple[Emit, ...]:
    return (_emit("created", name, **{key: value for key, value in said.items() if key != "assignee"}),)


def _updated(name: str, before: dict[str, Any], said: dict[str, Any]) -> tuple[Emit, ...]:
    changes = {key: value for key, value in said.items() if before.get(key) != value}
    if changes.get("assignee"):
        changes.pop("assignee")  # said by `work_order.assigned`
    return (_emit("updated", name, changes=changes),) if changes else ()


def _emit(what: str, name: str, **data: object) -> Emit:
    return Emit(type=f"work_order.{what}", data={"work_order_id": name, **data})
