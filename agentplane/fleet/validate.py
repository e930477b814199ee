"""What is wrong with an inventory: all findings together, in the order of the document. Pure."""

import re
from collections.abc import Iterator
from typing import Any, Final

from agentplane import schemas
from agentplane.bus.subjects import TOKEN
from agentplane.documents.findings import Finding, Severity, located
from agentplane.documents.model import Document, pointer
from agentplane.documents.positions import Positions
from agentplane.policy import Policy

API_VERSION: Final = "agentplane.socioprophet.org/v0.1"
KIND: Final = "FleetInventory"
_SSH_REF: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:%-]{0,254}")  # never starts with '-': that is an option
_ROLES: Final = (("executors", "defaultExecutor"), ("builders", "defaultBuilder"))
Path = tuple[str | int, ...]


def is_typed(value: dict[str, Any]) -> bool:
    """Whether an inventory has the typed shape (or tries to); the legacy one has neither apiVersion nor kind."""
    return "apiVersion" in value or "kind" in value


def validate_inventory(document: Document, policy: Policy | None = None) -> tuple[Finding, ...]:
    """Everything that is wrong with an inventory.

    Args:
        document: typed or legacy.
        policy: to see whether every trust zone that a lane wants exists; None: not looked at.
    """
    value = document.value
    findings = [*_schema(value)]
    for role, default in _ROLES:
        findings += _nodes(value, role)
        findings += _default(value, role, default)
    findings += _zones(value, policy) if policy is not None else []
    positions = Positions(document)
    return tuple(located(finding, positions) for finding in findings)


def _schema(value: dict[str, Any]) -> Iterator[Finding]:
    if not is_typed(value):
        message = "this inventory has the legacy shape; zones, health and limits of backends cannot be said in it"
        yield _say(Severity.WARN, "legacy", (), message, f"Write kind {KIND}, apiVersion {API_VERSION}.")
    for error in schemas.check("fleet-inventory.v0.1" if is_typed(value) else "fleet-inventory.v0", value):
        code = {"required": "missing", "additionalProperties": "unknown-field"}.get(error.keyword, "schema")
        words = f"{error.path[1:].replace('/', '.') or 'the inventory'} {error.message}"
        yield Finding(code=f"fleet.{code}", severity=Severity.FAIL, path=error.path, message=words, hint=None)


def _nodes(value: dict[str, Any], role: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, node in _listed(value, role):
        name, path = node.get("name"), (role, index)
        if isinstance(name, str):
            if not TOKEN.fullmatch(name):
                hint = "Letters, digits, '_' and '-', at most 63: it is a part of subjects and paths."
                yield _say(Severity.FAIL, "name", (*path, "name"), f"{name[:60]!r} is not a name for a host", hint)
            if name in seen:
                hint = "Every name once."
                yield _say(Severity.FAIL, "duplicate-name", (*path, "name"), f"{name[:60]!r} is listed twice", hint)
            seen.add(name)
        yield from _node(node, path)


def _node(node: dict[str, Any], path: Path) -> Iterator[Finding]:
    ssh_ref, zone = node.get("sshRef"), node.get("trustZone")
    if isinstance(ssh_ref, str) and not _SSH_REF.fullmatch(ssh_ref):
        hint = "Use a host name, or an alias of ~/.ssh/config."
        yield _say(Severity.FAIL, "ssh-ref", (*path, "sshRef"), f"{ssh_ref[:60]!r} is no ssh destination", hint)
    if isinstance(zone, str) and not TOKEN.fullmatch(zone):
        yield _say(Severity.FAIL, "trust-zone", (*path, "trustZone"), f"{zone[:60]!r} is not a zone", "Use a word.")


def _default(value: dict[str, Any], role: str, default: str) -> Iterator[Finding]:
    name = value.get(default)
    if not isinstance(name, str):
        return
    node = next((node for _, node in _listed(value, role) if node.get("name") == name), None)
    code = "default-executor" if role == "executors" else "default-builder"
    if node is None:
        hint = f"Name one of {role}."
        yield _say(Severity.FAIL, code, (default,), f"{default} {name[:60]!r} is not among the {role}", hint)
    elif node.get("enabled") is False or _state(node) in {"drained", "offline"}:
        hint = "Enable it, or choose another default."
        yield _say(Severity.WARN, f"{code}.unusable", (default,), f"{default} {name[:60]!r} takes no work", hint)


def _zones(value: dict[str, Any], policy: Policy) -> Iterator[Finding]:
    present = {node.get("trustZone", "default") for _, node in _listed(value, "executors")}
    for lane, rules in policy.lanes.items():
        if rules.trust_zones and not present & set(rules.trust_zones):
            message = f"lane {lane} needs an executor in zone {' or '.join(rules.trust_zones)}; there is none"
            yield _say(Severity.WARN, "trust-zone.empty", ("executors",), message, "Correct the zone, or the policy.")


def _listed(value: dict[str, Any], role: str) -> list[tuple[int, dict[str, Any]]]:
    nodes = value.get(role)
    return [
        (index, node) for index, node in enumerate(nodes if isinstance(nodes, list) else []) if isinstance(node, dict)
    ]


def _state(node: dict[str, Any]) -> object:
    health = node.get("health")
    return health.get("state") if isinstance(health, dict) else None


def _say(severity: Severity, code: str, path: Path, message: str, hint: str) -> Finding:
    return Finding(code=f"fleet.{code}", severity=severity, path=pointer(*path), message=message, hint=hint)
