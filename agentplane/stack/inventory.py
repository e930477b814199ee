"""The inventory of a stack: this machine, as its only executor. Written once, then the operator's to edit."""

import platform
from datetime import datetime
from typing import Any

from agentplane.clock import rfc3339

ARCHITECTURES = {"x86_64": "x86_64", "aarch64": "aarch64"}


def local_inventory(executor: str, now: datetime) -> dict[str, Any]:
    """A FleetInventory v0.1 document with one executor."""
    node = {
        "name": executor,
        "sshRef": "localhost",
        "enabled": True,
        "platform": {"os": "linux", "arch": ARCHITECTURES[platform.machine()]},
        "supportedBackends": ["microvm", "lima-process", "fleet"],
        "capabilities": {"nixBuild": True, "vmBuild": True},
        "health": {"state": "ready"},
        "trustZone": "local",
    }
    return {
        "apiVersion": "agentplane.socioprophet.org/v0.1",
        "kind": "FleetInventory",
        "metadata": {"name": "local", "version": "1", "createdAt": rfc3339(now)},
        "builders": [node],
        "executors": [node],
        "defaultBuilder": executor,
        "defaultExecutor": executor,
        "selectionPolicy": {"preferHealthy": True, "requireEnabled": True},
    }
