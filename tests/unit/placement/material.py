"""Fleets and requests for tests."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from agentplane.fleet.inventory import Inventory, Node
from agentplane.placement.model import ExecutorState, Placement, PlacementRequest
from agentplane.placement.place import place
from agentplane.policy import Policy
from agentplane.runs.model import Check, Resources
from agentplane.runs.protocol import Acceleration
from tests.executors import host_facts

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HANGS = Acceleration(usable=False, cause="hang: no sentinel within 20 s")
FACTS = host_facts(kvm=HANGS, disk_mib=40960, secrets=("TOKEN",), versions={})
REQUEST = PlacementRequest(
    backend_intent="microvm",
    network_mode="none",
    resources=Resources(vcpus=1, memory_mib=256, disk_mib=1024),
    lane="staging",
)


_OF_CONTROL = ("last_seen", "leases", "fenced", "left", "drain", "clock")


def state(name: str, **changes: Any) -> ExecutorState:
    own: dict[str, Any] = {key: changes.pop(key) for key in _OF_CONTROL if key in changes}
    fields: dict[str, Any] = {"facts": replace(FACTS, **changes), "last_seen": NOW, **own}
    return ExecutorState(name=name, **fields)


def fleet(*nodes: Node, default: str | None = None, **changes: Any) -> Inventory:
    plain = Inventory(
        executors=nodes,
        builders=(),
        default_executor=default,
        default_builder=None,
        prefer_healthy=True,
        require_enabled=True,
    )
    return replace(plain, **changes)


def ask(inventory: Inventory, *states: ExecutorState, policy: Policy | None = None, **changes: Any) -> Placement:
    return place(replace(REQUEST, **changes), inventory, states, policy or Policy(), NOW)


def row(placement: Placement, name: str) -> Check:
    return next(check for check in placement.table if check.executor == name)


def codes(check: Check) -> list[str]:
    return [reason.split(":")[0] for reason in check.reasons]
