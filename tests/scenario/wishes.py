"""What people ask for: the smallest valid bundle, and a wish to run it."""

from typing import Any

from agentplane.runs.model import (
    FileFact,
    RunRequested,
    StorePath,
)

SOURCE = StorePath(path="/nix/store/" + "a" * 32 + "-bundle", nar_hash="sha256:" + "b" * 52)


def bundle_document(**policy: Any) -> dict[str, Any]:
    """A valid bundle; keyword arguments change its policy."""
    return {
        "apiVersion": "agentplane.socioprophet.org/v0.2",
        "kind": "Bundle",
        "metadata": {
            "name": "noop",
            "version": "0.1.0",
            "createdAt": "2026-02-01T00:00:00Z",
            "licensePolicy": {"allowAGPL": False, "notes": "none"},
        },
        "spec": {
            "vm": {
                "backendIntent": "microvm",
                "modulePath": "guest.nix",
                "mounts": [],
                "network": {"mode": "none"},
                "resources": {"vcpu": 1, "memMiB": 1024, "diskGiB": 1},
            },
            "policy": {
                "lane": "staging",
                "maxRunSeconds": 60,
                "failOnTimeout": True,
                "humanGateRequired": False,
                "policyPackRef": "policy-packs/dev/default",
                "policyPackHash": "UNSET",
                **policy,
            },
            "secrets": {"required": [], "secretRefRoot": "secrets://user"},
            "artifacts": {"outDir": "./artifacts/noop"},
            "smoke": {"script": "smoke.sh"},
            "trust": {
                "attestationMode": "executor",
                "grantMode": "none",
                "policyDecisionRequired": True,
                "ledgerMode": "required",
            },
        },
    }


def wish(document: dict[str, Any] | None = None, **changes: Any) -> RunRequested:
    """A wish to run the bundle."""
    fields: dict[str, Any] = {
        "bundle": document or bundle_document(),
        "bundle_path": "bundles/noop",
        "source": SOURCE,
        "files": (
            FileFact(path="guest.nix", type="regular", executable=False, size_bytes=100),
            FileFact(path="smoke.sh", type="regular", executable=True, size_bytes=100),
        ),
    }
    return RunRequested(**(fields | changes))
