"""Public keys as facts carry them, and which of them speak for whom. Pure."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from agentplane.enrolment.facts import PublicKeys
from agentplane.enrolment.model import Enrolment
from agentplane.errors import Refused
from agentplane.evidence.keys import TrustedKeys, executor_identity, key_id

NKEY: Final = re.compile(r"U[A-Z2-7]{55}")
MIN_FINGERPRINT: Final = 32  # hex digits that an operator must have compared
_MAX_KEY: Final = 200  # characters; an Ed25519 key takes 60


def encode_public(key: Ed25519PublicKey) -> str:
    """SubjectPublicKeyInfo (DER) in base64."""
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode("ascii")


def decode_public(text: str) -> Ed25519PublicKey:
    """The key that `encode_public` wrote. Raises Refused (`join.key`)."""
    try:
        key = load_der_public_key(base64.b64decode(text[:_MAX_KEY], validate=True))
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as exc:
        raise Refused("not a public key in DER and base64", code="join.key") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise Refused("not an Ed25519 key", code="join.key")
    return key


def public_keys(key: Ed25519PublicKey, nkey: str) -> PublicKeys:
    """A pair of public keys as facts carry it."""
    return PublicKeys(key_id=key_id(key), public_key=encode_public(key), nkey=nkey)


def fits(fingerprint: str, wanted: str) -> bool:
    """Whether what an operator compared names this key id: all of it, or enough of its beginning."""
    plain = fingerprint.removeprefix("SHA256:").removeprefix("sha256:").replace(":", "").replace(" ", "").lower()
    return len(plain) >= MIN_FINGERPRINT and wanted.startswith(plain)


def trusted_keys(declared: TrustedKeys, enrolments: Iterable[tuple[str, Enrolment]]) -> TrustedKeys:
    """All keys that speak for somebody: those of the configuration, and those that joined, whenever they counted."""
    everybody = declared.keys()
    keys = {
        identity: tuple(each.public_key for each in everybody if each.identity == identity)
        for identity in declared.identities
    }
    for name, enrolment in enrolments:
        identity = executor_identity(name)
        joined = tuple(decode_public(key.public_key) for key in enrolment.keys)
        if joined:
            keys[identity] = (*keys.get(identity, ()), *joined)
    return TrustedKeys(keys)
