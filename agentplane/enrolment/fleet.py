"""The inventory, and whoever has joined: placement's view of which hosts there are. Pure.

What people declared of a host counts. One that they did not declare and approved when it asked is a Linux host of any
architecture that offers what it reports, in the trust zone that it was approved for.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from agentplane.enrolment.model import Enrolment
from agentplane.fleet.inventory import Health, Inventory, Node

DEFAULT_ZONE: Final = "default"


def with_joined(inventory: Inventory, enrolments: Iterable[tuple[str, Enrolment]]) -> Inventory:
    """The inventory with a node for everybody who joined, is still ours, and is not declared."""
    joined = tuple(
        _node(name, enrolment)
        for name, enrolment in enrolments
        if enrolment.approved is not None and not enrolment.left and inventory.executor(name) is None
    )
    return replace(inventory, executors=(*inventory.executors, *joined)) if joined else inventory


def _node(name: str, enrolment: Enrolment) -> Node:
    return Node(
        name=name,
        ssh_ref=name,
        enabled=True,
        os="linux",
        arch="",
        health=Health.READY,
        trust_zone=enrolment.zone or DEFAULT_ZONE,
        backends=None,
        capabilities={},
    )
