"""The signed envelope: DSSE v1 with exactly one Ed25519 signature. Pure.

Source: the DSSE protocol and envelope documents of secure-systems-lab (PAE "DSSEv1"). Stored and sent in RFC 8785
form; the record digest that chains and seals use is SHA-256 of those bytes, signature included.
"""

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
    sig: bytes  # base64 on the wire


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    # Fields in the order of RFC 8785, so that encoding again yields the canonical bytes.
    payload: bytes  # base64 on the wire
    payload_type: str
    signatures: tuple[_Signature, ...]


_DECODER: Final = msgspec.json.Decoder(_Wire)
_ENCODER: Final = msgspec.json.Encoder()
_PAE_HEAD: Final = b"DSSEv1 %d %b " % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode())


def pae(payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    return b"%b%d %b" % (_PAE_HEAD, len(payload), payload)


def seal_envelope(payload: bytes, signer: Signer) -> bytes:
    """Sign a payload and wrap it: the canonical bytes of the envelope.

    Raises:
        Refused: code `evidence.envelope`: it would be larger than any reader takes.
    """
    signature = _Signature(signer.key_id, signer.sign(pae(payload)))
    data = _ENCODER.encode(_Wire(payload, PAYLOAD_TYPE, (signature,)))
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
    signature = wire.signatures[0]
    if len(signature.sig) != _SIGNATURE_BYTES:
        raise Refused(f"a signature of {len(signature.sig)} bytes, not {_SIGNATURE_BYTES}", code="evidence.envelope")
    # Encoded again it must be the same bytes: one spelling of the JSON, and of each base64 (no loose bits at its end).
    if _ENCODER.encode(wire) != data:
        raise Refused("not in canonical form (RFC 8785)", code="evidence.envelope")
    return Envelope(payload=wire.payload, key_id=signature.keyid, signature=signature.sig)


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
