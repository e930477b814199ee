from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agentplane.evidence.keys import Ed25519Signer, TrustedKeys

Forge = Callable[[str], Ed25519Signer]


def signer_for(identity: str, seed: int | None = None) -> Ed25519Signer:
    """A signer whose key is always the same for the same identity and seed."""
    raw = f"{identity}#{seed}".encode().ljust(32, b".")[:32]
    return Ed25519Signer(Ed25519PrivateKey.from_private_bytes(raw), identity)


@pytest.fixture
def control() -> Ed25519Signer:
    return signer_for("control")


@pytest.fixture
def executor() -> Ed25519Signer:
    return signer_for("executor/exec-1")


@pytest.fixture
def trusted(control: Ed25519Signer, executor: Ed25519Signer) -> TrustedKeys:
    stranger = signer_for("executor/exec-2")
    return TrustedKeys({s.identity: (s.public_key,) for s in (control, executor, stranger)})
