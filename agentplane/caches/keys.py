"""Keys of binary caches, and whether one we trust has signed what a cache says. Pure: no key file is opened here.

Format: `name:base64`, as `nix key generate-secret` writes it: 32 bytes of an Ed25519 public key, 64 of a secret one.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agentplane.caches.narinfo import NarInfo
from agentplane.errors import Refused, Tampered

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_PUBLIC_BYTES: Final = 32
_SECRET_BYTES: Final = 64
_SIGNATURE_BYTES: Final = 64


class PublicKey(msgspec.Struct, frozen=True):
    """Whose signature on a path is believed."""

    name: str
    data: bytes  # 32

    def __str__(self) -> str:
        return f"{self.name}:{base64.b64encode(self.data).decode()}"


def parse_public_key(text: str) -> PublicKey:
    """A key as a configuration has it. Raises Refused: code `cache.key`."""
    name, data = _parse(text, _PUBLIC_BYTES, "a public key (name:base64 of 32 bytes)")
    return PublicKey(name, data)


def public_part(secret: str) -> PublicKey:
    """The public key of a secret key file's text. Raises Refused: code `cache.key`; never shows the text."""
    name, data = _parse(secret.strip(), _SECRET_BYTES, "a secret key (name:base64 of 64 bytes)")
    public = Ed25519PrivateKey.from_private_bytes(data[:32]).public_key().public_bytes_raw()
    if public != data[32:]:
        raise _malformed("its two halves do not belong together")
    return PublicKey(name, public)


def secret_text(name: str, seed: bytes) -> str:
    """The text of a secret key file. `seed`: 32 random bytes. Raises Refused: code `cache.key`, the name is none."""
    if not _NAME.fullmatch(name):
        raise _malformed("its name may have letters, digits, '.', '_' and '-' only")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return f"{name}:{base64.b64encode(seed + public).decode()}"


def verify(info: NarInfo, trusted: Iterable[PublicKey], where: str) -> PublicKey:
    """The trusted key that signed a description; `where` names the cache in errors.

    Raises:
        Refused: `cache.unsigned` (nobody signed it), `cache.unknown-key` (nobody we trust did).
        Tampered: `cache.signature`: a key we trust is named, and did not sign this.
    """
    if not info.signatures:
        hint = "push it with --key-file, or sign it there: nix store sign --store URL --key-file FILE PATH"
        raise Refused(f"{info.store_path} is not signed", code="cache.unsigned", where=where, hint=hint)
    keys = tuple(trusted)
    named = {signature.partition(":")[0] for signature in info.signatures}
    for signature in info.signatures:
        for key in keys:
            if signature.partition(":")[0] == key.name and _good(signature, info.fingerprint, key):
                return key
    if any(key.name in named for key in keys):
        raise Tampered(
            f"{info.store_path} bears the name of a trusted key, which did not sign this hash, size and references",
            code="cache.signature",
            where=where,
            hint="somebody changed what the cache says, or made a key of the same name: trust it no further",
        )
    raise Refused(
        f"{info.store_path} is signed by {', '.join(sorted(ascii(name[:64]) for name in named))}, whom we do not trust",
        code="cache.unknown-key",
        where=where,
        hint="if it is to be trusted, add its public key to bundles.trusted_public_keys",
    )


def _good(signature: str, message: bytes, key: PublicKey) -> bool:
    data = _decoded(signature.partition(":")[2])
    if data is None or len(data) != _SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.data).verify(data, message)
    except InvalidSignature:
        return False
    return True


def _parse(text: str, size: int, what: str) -> tuple[str, bytes]:
    name, _, encoded = text.partition(":")
    data = _decoded(encoded)
    if not _NAME.fullmatch(name) or data is None or len(data) != size:
        raise _malformed(f"it is not {what}")
    return name, data


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _malformed(reason: str) -> Refused:
    hint = "agentplane cache key NAME --to FILE makes a pair; the public half is printed"
    return Refused(f"this is no key of a cache: {reason}", code="cache.key", hint=hint)
