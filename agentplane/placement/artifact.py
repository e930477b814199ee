"""Placement written down: PlacementDecision and PlacementReceipt in the seeds' forms. Pure; signing is evidence's."""

from datetime import datetime
from typing import Any

from agentplane.clock import rfc3339
from agentplane.fleet.inventory import Inventory
from agentplane.placement.model import Placement
from agentplane.runs.model import Check
from agentplane.runs.pinned import BACKEND_CAP, DIGEST_CAP


def placement_decision_artifact(
    placement: Placement, inventory: Inventory, *, backend_intent: str, pins_digest: str, captured_at: datetime
) -> dict[str, Any]:
    """The PlacementDecision, valid against `placement-decision.v0.1`. `captured_at`: aware.

    `caps` also says by which rule, as what it runs, and the digest of what it runs (agentplane.runs.pinned).

    Raises:
        ValueError: nothing was chosen; a run that waits has no decision.
    """
    if placement.chosen is None:
        raise ValueError("nothing was chosen")
    return {
        "kind": "PlacementDecision",
        "capturedAt": rfc3339(captured_at),
        "backendIntent": backend_intent,
        "requiresKvm": placement.requires_kvm,
        "chosenExecutor": placement.chosen,
        "sshRef": placement.ssh_ref or "",
        "caps": {
            **placement.caps,
            "rule": placement.rule,
            BACKEND_CAP: placement.backend,
            DIGEST_CAP: pins_digest,
        },
        "rejected": [_rejected(check, inventory) for check in placement.table if check.executor != placement.chosen],
    }


def placement_receipt_artifact(
    decision: dict[str, Any], *, bundle: str, backend: str, lane: str, signed_by: str, created_at: datetime
) -> dict[str, Any]:
    """The PlacementReceipt, valid against `placement-receipt.v0.1`.

    Args:
        decision: the PlacementDecision that it is a receipt for.
        bundle: "name@version".
        backend: what it runs as: "microvm", "qemu", "process".
        lane: of the bundle.
        signed_by: the key id of the signer, hex SHA-256 of its raw public key.
        created_at: aware.
    """
    return {
        "kind": "PlacementReceipt",
        "bundle": bundle,
        "decision": {
            "chosenSite": decision["chosenExecutor"],
            "backend": backend,
            "constraints": {"lane": lane},
            "rejectedSites": decision["rejected"],
            "scheduler": decision,
        },
        "signedBy": signed_by,
        "createdAt": rfc3339(created_at),
    }


def _rejected(check: Check, inventory: Inventory) -> dict[str, str | None]:
    node = inventory.executor(check.executor)
    return {
        "name": check.executor,
        "sshRef": node.ssh_ref if node else None,
        "reason": "; ".join(check.reasons),
    }
