"""Whose history an event of a family is: the stream on which it stands. Pure."""

from typing import Any, Final

from agentplane.events.model import StreamId
from agentplane.ids import DNS_LABEL

NAMESPACE: Final = "default"
WORK_ORDER: Final = "WorkOrder"
FOREIGN: Final = "Foreign"  # the kind of streams with events of types that no domain declares
MAX_NAME_CHARS: Final = 200
_NAMELESS: Final = "unknown"

# family -> the kind of its streams, and the fields of data that name one, first come; "actor": the envelope's
_PLACES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "work_order": (WORK_ORDER, ("work_order_id",)),
    "mail": ("WorkMail", ("message_id",)),
    "agent": ("WorkAgent", ("agent", "actor")),
    "process": ("WorkProcess", ("process_id",)),
    "verify": ("WorkVerification", ("work_order_id", "process_id")),
    "assignment": ("WorkAssignment", ("agent", "actor")),
    "patrol": ("WorkPatrol", ("actor",)),
    "metrics": ("WorkMetrics", ("actor",)),
    "compliance": ("WorkRule", ("rule_id",)),
    "decision": ("WorkDecision", ("decision_id", "decision_type")),
    "sprint": ("WorkSprint", ("sprint_id",)),
    "objective": ("WorkObjective", ("objective_id",)),
}
KINDS: Final = tuple(kind for kind, _ in _PLACES.values())


def stream_of(tenant: str, type_: str, data: dict[str, Any], actor: str) -> StreamId:
    """The stream of an event with canonical type and data; one of a foreign type is named by its first word."""
    family = type_.partition(".")[0]
    if family not in _PLACES:
        return StreamId(tenant, FOREIGN, NAMESPACE, family[:MAX_NAME_CHARS] or _NAMELESS)
    kind, fields = _PLACES[family]
    known = {**data, "actor": actor}
    names = (known.get(field) for field in fields)
    name = next((each for each in names if isinstance(each, str) and each), _NAMELESS)
    namespace, _, own = name.partition("/")
    if kind == WORK_ORDER and DNS_LABEL.fullmatch(namespace) and DNS_LABEL.fullmatch(own):
        return StreamId(tenant, kind, namespace, own)  # that of the document in another namespace
    return StreamId(tenant, kind, NAMESPACE, name[:MAX_NAME_CHARS])
