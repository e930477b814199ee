"""An executor's world in small: a signed assignment, keys, settings."""

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.canonical import digest_value
from agentplane.evidence.dsse import envelope_value
from agentplane.evidence.journal import advance, control_journal, next_link
from agentplane.evidence.keys import CONTROL, Ed25519Signer, TrustedKeys
from agentplane.evidence.record import About, issue
from agentplane.evidence.statement import RunRef
from agentplane.runs.model import Expected, GuestPin, Pins, Resources, StorePath
from agentplane.runs.pinned import Pinned, pinned_digest
from agentplane.runs.protocol import Assignment

EXECUTOR = "exec-1"
CONTROL_SIGNER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"c" * 32), CONTROL)
EXECUTOR_SIGNER = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"e" * 32), f"executor/{EXECUTOR}")
TRUSTED_CONTROL = TrustedKeys({CONTROL: (CONTROL_SIGNER.public_key,)})
NOW = "2026-01-31T12:00:00.000000Z"

BUNDLE: dict[str, Any] = {
    "apiVersion": "agentplane.socioprophet.org/v0.1",
    "kind": "Bundle",
    "metadata": {"name": "demo", "version": "1.0.0"},
    "spec": {},
}
SOURCE = StorePath(path="/nix/store/" + "a" * 32 + "-demo", nar_hash="sha256:" + "0" * 52)


def pins(**changes: Any) -> Pins:
    fields: dict[str, Any] = {
        "bundle": "demo@1.0.0",
        "bundle_digest": str(digest_value(BUNDLE)),
        "source": SOURCE,
        "module": "guest.nix",
        "smoke": "smoke.sh",
        "inputs": (),
        "backend_intent": "microvm",
        "network_mode": "none",
        "artifact_targets": (),
        "resources": Resources(vcpus=1, memory_mib=256, disk_mib=64),
        "lane": "staging",
        "max_run_seconds": 30,
        "fail_on_timeout": True,
        "secrets": (),
        "secret_ref_root": None,
        "out_dir": "artifacts/demo",
        "policy_digest": "sha256:" + "2" * 64,
        "seed": "0",
        "clock_base": "2026-01-01T00:00:00Z",
    }
    return Pins(**(fields | changes))


def statements(
    run: str = "demo-1",
    epoch: int = 1,
    *,
    tenant: str = "acme",
    signer: Ed25519Signer = CONTROL_SIGNER,
    executor: str = EXECUTOR,
    valid: bool = True,
    bundle_digest: str | None = None,
    backend: str = "microvm",
    pinned: Pinned | None = None,
) -> tuple[dict[str, Any], ...]:
    """The two statements that control signs before an executor has a run."""
    digest = bundle_digest or str(digest_value(BUNDLE))
    head = control_journal(tenant, run)
    validation = issue(
        {"kind": "ValidationArtifact", "bundle": "demo@1.0.0", "capturedAt": NOW, "valid": valid, "checks": []},
        about=About(run=RunRef(tenant=tenant, name=run, epoch=0), bundle="demo@1.0.0", bundle_digest=digest),
        link=next_link(head, run_previous=None),
        signer=signer,
    )
    decision = issue(
        {
            "kind": "PlacementDecision",
            "capturedAt": NOW,
            "backendIntent": "microvm",
            "requiresKvm": False,
            "chosenExecutor": executor,
            "sshRef": f"ssh://{executor}",
            "caps": {"backend": backend, "pinsDigest": pinned_digest(pinned or Pinned(pins=pins()))},
            "rejected": [],
        },
        about=About(run=RunRef(tenant=tenant, name=run, epoch=epoch), bundle="demo@1.0.0", bundle_digest=digest),
        link=next_link(advance(head, validation.digest), run_previous=validation.digest),
        signer=signer,
    )
    return envelope_value(validation.envelope), envelope_value(decision.envelope)


def assignment(
    *,
    tenant: str = "acme",
    run: str = "demo-1",
    epoch: int = 1,
    backend: str = "microvm",
    signed: tuple[dict[str, Any], ...] | None = None,
    replay_guest: GuestPin | None = None,
    expected: Expected | None = None,
    **pin_changes: Any,
) -> Assignment:
    what = pins(**pin_changes)
    pinned = Pinned(pins=what, replay_guest=replay_guest, expected=expected)
    return Assignment(
        tenant=tenant,
        run=run,
        epoch=epoch,
        backend=backend,
        pins=what,
        bundle=BUNDLE,
        bundle_path="bundles/demo",
        statements=statements(run, epoch, tenant=tenant, backend=backend, pinned=pinned) if signed is None else signed,
        lease_seconds=30,
        correlation_id="00000000-0000-4000-8000-000000000001",
        replay_guest=replay_guest,
        expected=expected,
    )


def key_files(directory: Path) -> tuple[Path, Path]:
    """The executor's private key and control's public key as files."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    from agentplane.evidence.keys import public_pem

    private, public = directory / "executor.key", directory / "control.pub"
    key = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(public_pem(CONTROL_SIGNER.public_key))
    return private, public
