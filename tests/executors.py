"""Executors for tests: what one reports of its host, and how an inventory names it. One host, varied by each test."""

from typing import Any

from msgspec.structs import replace

from agentplane.fleet.inventory import Health, Node
from agentplane.runs.protocol import Acceleration, ExecutorFacts

WORKING = Acceleration(usable=True, cause="ok")
_FACTS = ExecutorFacts(
    os="linux",
    arch="x86_64",
    backends=("microvm", "process"),
    networks=("none",),
    kvm=WORKING,
    vcpus=4,
    memory_mib=4096,
    disk_mib=20_000,
    secrets=(),
    draining=False,
    versions={"qemu": "7.2.0"},
)


def host_facts(**changes: Any) -> ExecutorFacts:
    """A host that can do everything; keyword arguments change it."""
    return replace(_FACTS, **changes)


def node(name: str, **changes: Any) -> Node:
    """It in an inventory."""
    plain = Node(
        name=name,
        ssh_ref=f"{name}.example",
        enabled=True,
        os="linux",
        arch="x86_64",
        health=Health.READY,
        trust_zone="local",
        backends=None,
        capabilities={},
    )
    return replace(plain, **changes)
