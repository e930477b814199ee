"""Who may sign what: signers, key ids and the set of trusted public keys. Pure; files are opened in `edge`.

An identity is `control` or `executor/<name>`. A key is trusted for one identity only, so an executor's key that
was stolen can lie about that executor and about nothing else.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agentplane.errors import Tampered

CONTROL: Final = "control"
KEY_ID: Final = re.compile(r"[a-f0-9]{64}")


def executor_identity(name: str) -> str:
    """`executor/<name>`: the identity, and the journal, of an executor."""
    return f"executor/{name}"


def key_id(key: Ed25519PublicKey) -> str:
    """Hex SHA-256 of the key's SubjectPublicKeyInfo (DER)."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The key as PEM SubjectPublicKeyInfo, the form in which people hand it around."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Signer(Protocol):
    """Something that signs as one identity."""

    @property
    def identity(self) -> str:
        """`control` or `executor/<name>`."""
        ...

    @property
    def key_id(self) -> str:
        """Which of the identity's keys this is."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature."""
        ...


class Ed25519Signer:
    """A private key in memory, acting for one identity."""

    def __init__(self, private_key: Ed25519PrivateKey, identity: str) -> None:
        self._private_key = private_key
        self._identity = identity
        self._key_id = key_id(private_key.public_key())

    @property
    def identity(self) -> str:
        """`control` or `executor/<name>`."""
        return self._identity

    @property
    def key_id(self) -> str:
        """Hex SHA-256 of the public key."""
        return self._key_id

    @property
    def public_key(self) -> Ed25519PublicKey:
        """The half that others may have."""
        return self._private_key.public_key()

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of an Ed25519 signature (RFC 8032)."""
        return self._private_key.sign(message)


class TrustedKey(msgspec.Struct, frozen=True):
    """A public key and the one identity that it speaks for."""

    identity: str
    key_id: str
    public_key: Ed25519PublicKey
    pem: bytes  # of the public key


class TrustedKeys:
    """The verifier's root of trust: key id -> key and identity. Several keys per identity allow rotation."""

    def __init__(self, keys: Mapping[str, tuple[Ed25519PublicKey, ...]]) -> None:
        """Take identity -> its keys. A key may serve one identity only: ValueError otherwise."""
        self._by_id: dict[str, TrustedKey] = {}
        for identity, public_keys in keys.items():
            for public_key in public_keys:
                self._add(TrustedKey(identity, key_id(public_key), public_key, public_pem(public_key)))

    def _add(self, key: TrustedKey) -> None:
        known = self._by_id.setdefault(key.key_id, key)
        if known.identity != key.identity:
            raise ValueError(f"key {key.key_id} is claimed by {known.identity} and by {key.identity}")

    def with_keys(self, keys: Mapping[str, tuple[Ed25519PublicKey, ...]]) -> "TrustedKeys":
        """These keys and more. Raises ValueError as the constructor."""
        more = TrustedKeys(keys)
        for key in self._by_id.values():
            more._add(key)
        return more

    @property
    def identities(self) -> tuple[str, ...]:
        """Everybody who is trusted for something, sorted."""
        return tuple(sorted({key.identity for key in self._by_id.values()}))

    def keys(self) -> tuple[TrustedKey, ...]:
        """All keys, by identity and key id."""
        return tuple(sorted(self._by_id.values(), key=lambda key: (key.identity, key.key_id)))

    def find(self, wanted: str) -> TrustedKey:
        """The key with this id.

        Raises:
            Tampered: code `evidence.untrusted-key`: nobody we trust has it.
        """
        key = self._by_id.get(wanted)
        if key is None:
            raise Tampered(
                f"no trusted key has the id {wanted}",
                code="evidence.untrusted-key",
                hint="trusted keys come from --keys, and of executors that it has none of from control's key history; "
                "ask the signer's operator for the public key",
            )
        return key

    def check(self, wanted: str, message: bytes, signature: bytes) -> str:
        """Verify a signature and answer who made it.

        Raises:
            Tampered: codes `evidence.untrusted-key`, `evidence.signature`.
        """
        key = self.find(wanted)
        try:
            key.public_key.verify(signature, message)
        except InvalidSignature as exc:
            raise Tampered(
                f"the signature of {key.identity} does not fit these bytes",
                code="evidence.signature",
                hint="the record was changed after it was signed; do not use it",
            ) from exc
        return key.identity
