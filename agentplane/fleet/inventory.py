"""The inventory as placement sees it: one model for the typed and the legacy document. Pure."""

from enum import StrEnum
from typing import Any, Final

import msgspec

from agentplane.documents.model import Document
from agentplane.errors import Refused
from agentplane.fleet.validate import is_typed, validate_inventory
from agentplane.policy import INTENTS

LEGACY_ZONE: Final = "default"
_ARCHITECTURES: Final = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}


class Health(StrEnum):
    """What people say of a host's health."""

    READY = "ready"
    DEGRADED = "degraded"
    DRAINED = "drained"
    OFFLINE = "offline"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One host of the inventory."""

    name: str
    ssh_ref: str
    enabled: bool
    os: str
    arch: str  # x86_64, aarch64; "" in a legacy inventory that does not say
    health: Health
    trust_zone: str
    backends: frozenset[str] | None  # what runners call them; None: whatever it reports
    capabilities: dict[str, Any]  # as declared: words, not proof


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet as declared."""

    executors: tuple[Node, ...]
    builders: tuple[Node, ...]
    default_executor: str | None
    default_builder: str | None
    prefer_healthy: bool
    require_enabled: bool

    def executor(self, name: str) -> Node | None:
        """The executor of that name; None: not in the inventory."""
        return next((node for node in self.executors if node.name == name), None)


def inventory_of(document: Document) -> Inventory:
    """The inventory in a document.

    Raises:
        Refused: code `fleet.invalid`, with the first failed finding; `validate_inventory` says all.
    """
    failed = next((finding for finding in validate_inventory(document) if finding.severity == "fail"), None)
    if failed is not None:
        line = f":{failed.line}:{failed.column}" if failed.line else ""
        where = f"{document.origin}{line}"
        raise Refused(f"{failed.path}: {failed.message}", code="fleet.invalid", where=where, hint=failed.hint)
    return _typed(document.value) if is_typed(document.value) else _legacy(document.value)


def architecture(name: str) -> str:
    """One word per architecture: `arm64` is `aarch64`, `amd64` is `x86_64`."""
    return _ARCHITECTURES.get(name.lower(), name.lower())


def _typed(value: dict[str, Any]) -> Inventory:
    selection = value["selectionPolicy"]
    return Inventory(
        executors=tuple(_typed_node(node) for node in value["executors"]),
        builders=tuple(_typed_node(node) for node in value["builders"]),
        default_executor=value["defaultExecutor"],
        default_builder=value["defaultBuilder"],
        prefer_healthy=selection["preferHealthy"],
        require_enabled=selection["requireEnabled"],
    )


def _typed_node(node: dict[str, Any]) -> Node:
    return Node(
        name=node["name"],
        ssh_ref=node["sshRef"],
        enabled=node["enabled"],
        os=node["platform"]["os"].lower(),
        arch=architecture(node["platform"]["arch"]),
        health=Health(node["health"]["state"]),
        trust_zone=node["trustZone"],
        backends=_backends(node.get("supportedBackends")),
        capabilities=node.get("capabilities", {}),
    )


def _backends(declared: list[str] | None) -> frozenset[str] | None:
    if declared is None:
        return None
    # "fleet" alone means: any; beside others it adds nothing
    intents = [intent for intent in declared if intent != "fleet"] or declared
    return frozenset(backend for intent in intents for backend in INTENTS[intent])


def _legacy(value: dict[str, Any]) -> Inventory:
    return Inventory(
        executors=tuple(_legacy_node(node) for node in value["executors"]),
        builders=(),
        default_executor=value.get("defaultExecutor"),
        default_builder=None,
        prefer_healthy=True,
        require_enabled=True,
    )


def _legacy_node(node: dict[str, Any]) -> Node:
    caps = node.get("caps", {})
    return Node(
        name=node["name"],
        ssh_ref=node["sshRef"],
        enabled=True,
        os=caps.get("os", "linux").lower(),
        arch=architecture(caps.get("arch", "")),
        health=Health.READY,
        trust_zone=LEGACY_ZONE,
        backends=None,
        capabilities=caps,
    )
