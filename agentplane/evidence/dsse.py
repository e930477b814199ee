"""The signed envelope: DSSE v1 with exactly one Ed25519 signature. Pure.

Source: the DSSE protocol and envelope documents of secure-systems-lab (PAE "DSSEv1"). Stored and sent in RFC 8785
form; the record digest that chains and seals use is SHA-256 of those bytes, signature included.
"""

import binascii
from typing import Any, Final

import msgspec

from agentplane.canonical import canonical_bytes
from agentplane.errors import Refused
from agentplane.evidence.keys import KEY_ID, Signer, TrustedKeys

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES: Final = 1_000_000  # below the 1 MiB that a NATS server takes by default
_SIGNATURE_BYTES: Final = 64


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An opened, not yet verified envelope."""

    payload: bytes
    key_id: str
    signature: bytes


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    # Fields in the order of RFC 8785, so that encoding again yields the canonical bytes.
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


_DECODER: Final = msgspec.json.Decoder(_Wire)


def pae(payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def seal_envelope(payload: bytes, signer: Signer) -> bytes:
    """Sign a payload and wrap it: the canonical bytes of the envelope.

    Raises:
        Refused: code `evidence.envelope`: it would be larger than any reader takes.
    """
    signature = _Signature(signer.key_id, _to_base64(signer.sign(pae(payload))))
    data = msgspec.json.encode(_Wire(_to_base64(payload), PAYLOAD_TYPE, (signature,)))
    _check_size(data)
    return data


def open_envelope(data: bytes) -> Envelope:
    """Decode an envelope strictly: exact keys, one signature, canonical base64 and JSON.

    Raises:
        Refused: code `evidence.envelope`.
    """
    _check_size(data)
    try:
        wire = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Refused(f"not a DSSE envelope: {exc}", code="evidence.envelope") from exc
    if wire.payload_type != PAYLOAD_TYPE:
        raise Refused(f"payload type {wire.payload_type[:80]!r}, not {PAYLOAD_TYPE}", code="evidence.envelope")
    if len(wire.signatures) != 1 or not KEY_ID.fullmatch(wire.signatures[0].keyid):
        raise Refused("exactly one signature with a key id of 64 hex digits is wanted", code="evidence.envelope")
    envelope = Envelope(
        payload=_from_base64(wire.payload),
        key_id=wire.signatures[0].keyid,
        signature=_from_base64(wire.signatures[0].sig),
    )
    if len(envelope.signature) != _SIGNATURE_BYTES:
        raise Refused(
            f"a signature of {len(envelope.signature)} bytes, not {_SIGNATURE_BYTES}", code="evidence.envelope"
        )
    if msgspec.json.encode(wire) != data:
        raise Refused("not in canonical form (RFC 8785)", code="evidence.envelope")
    return envelope


def check_signature(envelope: Envelope, trusted: TrustedKeys) -> str:
    """Verify the signature and answer the signer's identity.

    Raises:
        Tampered: codes `evidence.untrusted-key`, `evidence.signature`.
    """
    return trusted.check(envelope.key_id, pae(envelope.payload), envelope.signature)


def envelope_value(data: bytes) -> dict[str, Any]:
    """The envelope as a JSON object, the form in which events carry it. Raises Refused."""
    open_envelope(data)
    value: dict[str, Any] = msgspec.json.decode(data)
    return value


def envelope_bytes(value: dict[str, Any]) -> bytes:
    """The canonical bytes of an envelope that an event carried as an object. Raises Refused."""
    data = canonical_bytes(value)
    open_envelope(data)
    return data


def _check_size(data: bytes) -> None:
    if len(data) > MAX_ENVELOPE_BYTES:
        raise Refused(f"an envelope of {len(data)} bytes, more than {MAX_ENVELOPE_BYTES}", code="evidence.envelope")


def _to_base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def _from_base64(text: str) -> bytes:
    try:
        data = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise Refused(f"not base64: {exc}", code="evidence.envelope") from exc
    # Loose bits in the last digit would give one payload two spellings; all before it has one only.
    if len(text) != (len(data) + 2) // 3 * 4 or (data and _to_base64(data[-(len(data) % 3 or 3) :]) != text[-4:]):
        raise Refused("base64 that is not canonical", code="evidence.envelope")
    return data
