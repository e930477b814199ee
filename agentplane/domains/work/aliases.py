"""The two vocabularies of VerMAS as one: older type and field names become those of today. Pure.

The older one speaks of beads, molecules, hooks and polecats, today's of work orders, processes, assignments and
workers. What a line was called is kept beside its data under `original_type`, and its ids under `original_id`,
`original_correlation` and `original_cause`, so that nothing is lost on the way. Reads nothing, drops nothing: a name
that is not in a table stays as it is.

Source of both tables: the VerMAS documents EVENTS.md, SCHEMAS.md, HOOKS.md, MESSAGING.md and GOVERNANCE.md.
"""

import uuid
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from agentplane.ids import NAMESPACE, EventId

ORIGINAL_TYPE: Final = "original_type"  # in data: the type as its source wrote it, where that is another word
ORIGINAL_ID: Final = "original_id"  # in data: the id as its source wrote it, where that is no UUID of ours
ORIGINAL_CORRELATION: Final = "original_correlation"  # the same of what it belongs to (`conv-xyz789`)
ORIGINAL_CAUSE: Final = "original_cause"  # and of what caused it

TYPES: Final[dict[str, str]] = {
    "bead.created": "work_order.created",
    "bead.updated": "work_order.updated",
    "bead.status_changed": "work_order.status_changed",
    "bead.hooked": "work_order.assigned",
    "bead.assigned": "work_order.assigned",
    "bead.closed": "work_order.closed",
    "bead.blocked": "work_order.blocked",
    "bead.stuck": "work_order.stuck",
    "agent.hook_checked": "agent.assignment_checked",
    "agent.gupp_check": "agent.assignment_checked",
    "agent.gupp_checked": "agent.assignment_checked",
    "hook.set": "assignment.set",
    "hook.checked": "assignment.checked",
    "hook.cleared": "assignment.cleared",
    "mol.created": "process.created",
    "mol.step_started": "process.step_started",
    "mol.step_completed": "process.step_completed",
    "mol.completed": "process.completed",
    "mol.abandoned": "process.cancelled",
    "mol.cancelled": "process.cancelled",
    "process.abandoned": "process.cancelled",
    "compliance.violation": "compliance.violation_detected",
}

# of types that are in no table: whose history they are is told by their family
FAMILIES: Final[dict[str, str]] = {"bead": "work_order", "mol": "process", "hook": "assignment"}

FIELDS: Final[dict[str, str]] = {
    "bead_id": "work_order_id",
    "bead": "work_order_id",
    "hooked_bead": "assigned_work_order",
    "hooked_work": "assigned_work_order",
    "hook_path": "assignment_path",
    "hook_found": "found",
    "assignment_found": "found",
    "mol_id": "process_id",
    "molecule_id": "process_id",
    "mol": "process_id",
    "formula": "template",
    "proto": "template",
    "polecats_checked": "workers_checked",
}
# names that mean this only in events of one type
FIELDS_OF: Final[dict[str, dict[str, str]]] = {
    "work_order.created": {"type": "issue_type", "id": "work_order_id"},
    "mail.sent": {"type": "message_type", "id": "message_id"},
    "process.step_started": {"step": "step_id"},
    "process.step_completed": {"step": "step_id"},
}
_VALUES: Final[dict[str, dict[str, str | int]]] = {
    "status": {"hooked": "assigned"},
    "from_status": {"hooked": "assigned"},
    "to_status": {"hooked": "assigned"},
    "message_type": {"POLECAT_DONE": "WORKER_DONE", "MERGE_READY": "READY_FOR_QA"},
    "priority": {"P0": 0, "P1": 1, "P2": 2, "P3": 3, "P4": 4},
    "ref_type": {"bead": "work_order", "mol": "process", "molecule": "process"},
    "verdict": {"PASSED": "PASS", "FAILED": "FAIL"},
}

_FAMILIES: Final = frozenset(
    {"work_order", "mail", "agent", "process", "verify", "assignment", "patrol", "metrics", "compliance", "decision"}
    | {"sprint", "objective"}
)
_RANDOM_VERSIONS: Final = frozenset({4, 7})


def canonical_type(original: str) -> str | None:
    """Today's name of a type of either vocabulary; None: it is of no family of VerMAS.

    A type of a known family that is in no table is its own canonical name; the catalogue knows whether it exists.
    """
    if original in TYPES:
        return TYPES[original]
    family, dot, rest = original.partition(".")
    family = FAMILIES.get(family, family)
    return f"{family}.{rest}" if family in _FAMILIES and dot and rest else None


def canonical_glob(glob: str) -> str:
    """A pattern of types in the older vocabulary as one in today's: `bead.*` is `work_order.*`. Others stay."""
    family, dot, rest = glob.partition(".")
    if glob in TYPES:
        return TYPES[glob]
    if family not in FAMILIES or not dot:
        return glob
    meant = {today for old, today in TYPES.items() if rest.strip("*") and fnmatchcase(old, glob)}
    return meant.pop() if len(meant) == 1 else f"{FAMILIES[family]}.{rest}"


def canonical_data(original: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event's data under today's names, with `original_type` where the type had another name.

    Fields that are not in a table stay. Where both the older and today's name are there, today's wins and the older
    one stays as it was.
    """
    canonical = canonical_type(original)
    if canonical is None:
        return dict(data)
    names = FIELDS | FIELDS_OF.get(canonical, {})
    renamed: dict[str, Any] = {}
    for name, value in data.items():
        target = names.get(name, name)
        renamed[name if target in data else target] = value
    if isinstance(changes := renamed.get("changes"), dict):
        renamed["changes"] = {name: _value(name, value) for name, value in changes.items()}
    found = {name: _value(name, value) for name, value in renamed.items()}
    if canonical != original:
        found.setdefault(ORIGINAL_TYPE, original)
    return found


@lru_cache(maxsize=4096)  # each line of an import asks several times, here and there
def event_uuid(tenant: str, given: str) -> EventId:
    """The id under which a source's event is stored: the same for import and append, in every process.

    A random UUID (version 4 or 7) is taken as it is; every other text (`evt-a1b2c3`) becomes a uuid5 of tenant and
    text. So two tenants with the same ids do not meet, and nobody can claim an id that controllers derive.
    """
    try:
        found = uuid.UUID(given)
    except ValueError:
        found = None
    if found is not None and found.version in _RANDOM_VERSIONS:
        return EventId(found)
    return EventId(uuid.uuid5(NAMESPACE, f"event/{tenant}/{given}"))


@lru_cache(maxsize=4096)
def correlation_uuid(tenant: str, given: str) -> uuid.UUID:
    """The correlation that a source's word (`sprint-xyz789`, `conv-1`) stands for; a UUID of any version is itself."""
    try:
        return uuid.UUID(given)
    except ValueError:
        return uuid.uuid5(NAMESPACE, f"correlation/{tenant}/{given}")


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(value, str):
        return value
    word = value.strip().upper().replace("-", "_").replace(" ", "_") if name == "verdict" else value
    return _VALUES.get(name, {}).get(word, word)
