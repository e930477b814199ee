"""What executors ask over the bus about their own membership, and how the answers look. Pure.

Subjects: `agentplane-join.<nkey>.request` and `agentplane-executor.<name>.key`. NATS permissions make the user key in
the first, and the name in the second, true; a signature proves that whoever asks has the signing key.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agentplane.bus.callout import user_key
from agentplane.canonical import canonical_bytes
from agentplane.enrolment.facts import PublicKeys
from agentplane.enrolment.keys import NKEY, decode_public
from agentplane.errors import Refused, Tampered
from agentplane.evidence.keys import Signer, key_id
from agentplane.ids import DNS_LABEL
from agentplane.runs.model import Wire

MAX_REQUEST_BYTES: Final = 4096
_MAX_TOKEN: Final = 200
APPROVED: Final = "approved"
PENDING: Final = "pending"
REFUSED: Final = "refused"
LEFT: Final = "join.left"  # code of a refusal: it was an executor, and is none any more

T = TypeVar("T")


class JoinRequest(Wire, frozen=True, kw_only=True):
    """Let me in under this name."""

    name: str
    keys: PublicKeys
    signature: str  # by the signing key, over `join_claim`; hex
    token: str | None = None  # None: an operator is going to look
    standing: bool = False  # not to join: only to hear, over a key of the moment, whether these keys were shut out


class JoinReply(Wire, frozen=True, kw_only=True):
    """What became of it so far; ask again while it is pending."""

    state: str
    code: str = ""
    message: str = ""


class KeyAnnouncement(Wire, frozen=True, kw_only=True):
    """My next keys: the old one vouches for them, the new one proves that it is there."""

    name: str
    keys: PublicKeys
    previous_key_id: str
    previous_signature: str  # hex, over `rotation_claim`
    signature: str
    nkey_signature: str = ""  # by the new user key; "": whoever wrote it is too old to prove that it has one


class AnnouncementReply(Wire, frozen=True, kw_only=True):
    """Whether the new keys count now."""

    accepted: bool
    code: str = ""
    message: str = ""


def join_claim(name: str, keys: PublicKeys) -> bytes:
    """What is signed to join."""
    return canonical_bytes({"purpose": "agentplane-join", "name": name, "keys": msgspec.to_builtins(keys)})


def rotation_claim(name: str, keys: PublicKeys, previous_key_id: str) -> bytes:
    """What both keys sign to change from one to the other."""
    keys_value = msgspec.to_builtins(keys)
    claim = {"purpose": "agentplane-rotate", "name": name, "keys": keys_value, "previous": previous_key_id}
    return canonical_bytes(claim)


def join_request(
    name: str, keys: PublicKeys, signer: Signer, token: str | None, *, standing: bool = False
) -> JoinRequest:
    """A signed wish to join; or, with `standing`, to hear whether one was shut out."""
    signature = signer.sign(join_claim(name, keys)).hex()
    return JoinRequest(name=name, keys=keys, signature=signature, token=token, standing=standing)


def announcement(
    name: str, keys: PublicKeys, old: Signer, new: Signer, sign_with_nkey: Callable[[bytes], bytes] | None = None
) -> KeyAnnouncement:
    """A signed announcement of new keys. `sign_with_nkey`: by the new user key; without it control takes none."""
    claim = rotation_claim(name, keys, old.key_id)
    return KeyAnnouncement(
        name=name,
        keys=keys,
        previous_key_id=old.key_id,
        previous_signature=old.sign(claim).hex(),
        signature=new.sign(claim).hex(),
        nkey_signature=sign_with_nkey(claim).hex() if sign_with_nkey else "",
    )


def read_join_request(subject: str, data: bytes) -> JoinRequest:
    """A wish to join, proven to come from whoever has both keys; one for `standing` from whoever has the signing key.

    Raises:
        Refused: `join.malformed`, `join.name`, `join.key`, `join.subject` (another user key than the connection's).
        Tampered: `join.signature`.
    """
    request = _decoded(data, JoinRequest)
    if not DNS_LABEL.fullmatch(request.name):
        raise Refused("an executor's name is a DNS label: a-z, 0-9 and '-', at most 63", code="join.name")
    if request.token is not None and len(request.token) > _MAX_TOKEN:
        raise Refused("that is no token", code="join.malformed")
    if not request.standing and subject.split(".")[1:2] != [request.keys.nkey]:
        raise Refused("the keys of another user than the one who asks", code="join.subject")
    _verify(_checked(request.keys), request.signature, join_claim(request.name, request.keys))
    return request


def read_announcement(subject: str, data: bytes) -> KeyAnnouncement:
    """New keys, both proven to be there; whether the old one may vouch for them is for `controllers.rotation` to say.

    A user key that somebody else has would be barred with this executor: control or a person, thrown off the bus.

    Raises:
        Refused: `join.malformed`, `join.key`, `join.subject` (another executor than the subject's), `rotation.nkey`.
        Tampered: `join.signature`.
    """
    request = _decoded(data, KeyAnnouncement)
    if subject.split(".")[1:2] != [request.name]:
        raise Refused("the keys of another executor than the one who asks", code="join.subject")
    claim = rotation_claim(request.name, request.keys, request.previous_key_id)
    _verify(_checked(request.keys), request.signature, claim)
    if not request.nkey_signature:
        raise Refused(
            "the new bus key is not proven",
            code="rotation.nkey",
            hint="upgrade the executor: older ones prove one key only",
        )
    try:
        _verify(user_key(request.keys.nkey), request.nkey_signature, claim)
    except ValueError as exc:
        raise Refused("not the public key of a NATS user", code="join.key") from exc
    return request


def vouched_for(request: KeyAnnouncement, old: Ed25519PublicKey) -> None:
    """Check the old key's signature. Raises Tampered (`join.signature`)."""
    _verify(old, request.previous_signature, rotation_claim(request.name, request.keys, request.previous_key_id))


def _decoded(data: bytes, type_: type[T]) -> T:
    if len(data) > MAX_REQUEST_BYTES:
        raise Refused(f"a request of {len(data)} bytes", code="join.malformed")
    try:
        return msgspec.json.decode(data, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(f"not a {type_.__name__}: {str(exc)[:200]}", code="join.malformed") from exc


def _checked(keys: PublicKeys) -> Ed25519PublicKey:
    key = decode_public(keys.public_key)
    if key_id(key) != keys.key_id:
        raise Refused("the key id is not that of the key", code="join.key")
    if not NKEY.fullmatch(keys.nkey):
        raise Refused("not the public key of a NATS user", code="join.key")
    return key


def _verify(key: Ed25519PublicKey, signature: str, claim: bytes) -> None:
    try:
        key.verify(bytes.fromhex(signature), claim)
    except (InvalidSignature, ValueError) as exc:
        raise Tampered("the signature does not fit the request", code="join.signature") from exc
