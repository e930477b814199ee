"""NATS auth callout: the bus asks control who may connect, and control answers with that key's permissions. Pure.

A client that nats-server does not know by its own configuration is described in a signed request on `SUBJECT`; the
answer is a JWT signed by the issuer whose public key stands in that configuration. The request carries the nonce that
the server challenged the client with, and the client's signature: whoever answers must check it, as `opened` does.

Formats: NATS JWT v2 ("ed25519-nkey"), https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout.
"""

import base64
import binascii
import hashlib
import json
from datetime import datetime
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agentplane.bus.accounts import RESPONSES, User
from agentplane.errors import Denied, Refused

SUBJECT: Final = "$SYS.REQ.USER.AUTH"
ACCOUNT: Final = "$G"
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}
_RESPONSE_NS: Final = 60 * 1_000_000_000
_KEY_BYTES: Final = 32
_ENCODED_BYTES: Final = 35  # prefix, key, CRC-16
_PREFIX_ACCOUNT: Final = 0
_PREFIX_USER: Final = 20 << 3


class _Server(msgspec.Struct):
    id: str


class _Client(msgspec.Struct):
    id: int
    nonce: str = ""
    host: str = ""


class _Connect(msgspec.Struct):
    nkey: str = ""
    sig: str = ""


class _Nats(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    client_info: _Client
    connect_opts: _Connect


class _Claims(msgspec.Struct):
    nats: _Nats


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to connect, with which proven key, and where the answer belongs."""

    nkey: str  # "U…": the server's challenge was signed with it
    host: str
    server_id: str
    user_nkey: str  # the server's name for this very connection


class Issuer:
    """The account key that signs answers; its public half stands in nats-server's configuration."""

    def __init__(self, seed: bytes) -> None:
        """Take an account's seed ("SA…"). Raises Denied (`nkey.malformed`)."""
        self._key = Ed25519PrivateKey.from_private_bytes(_account_seed(seed))
        raw = self._key.public_key().public_bytes_raw()
        self.public_key = _encode(_PREFIX_ACCOUNT, raw)

    def allow(self, caller: Caller, user: User, now: datetime) -> bytes:
        """The answer that lets a caller in with a user's permissions."""
        grants: dict[str, Any] = {"pub": {"allow": list(user.publish)}, "sub": {"allow": list(user.subscribe)}}
        if user.responds:
            grants["resp"] = {"max": RESPONSES["max"], "ttl": _RESPONSE_NS}
        limits = {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
        claims = {"name": user.public_key, "sub": caller.user_nkey, "aud": ACCOUNT, "nats": {**grants, **limits}}
        return self._answer(caller, {"jwt": self._sign(claims, now)}, now)

    def deny(self, caller: Caller, reason: str, now: datetime) -> bytes:
        """The answer that lets nobody in; the reason is for the server's log."""
        return self._answer(caller, {"error": reason}, now)

    def _answer(self, caller: Caller, said: dict[str, Any], now: datetime) -> bytes:
        nats = {"type": "authorization_response", "version": 2, **said}
        return self._sign({"sub": caller.user_nkey, "aud": caller.server_id, "nats": nats}, now).encode("ascii")

    def _sign(self, claims: dict[str, Any], now: datetime) -> str:
        body = {**claims, "iss": self.public_key, "iat": int(now.timestamp())}
        body["jti"] = hashlib.sha256(_json(body)).hexdigest()
        text = f"{_b64(_json(_HEADER))}.{_b64(_json(body))}"
        return f"{text}.{_b64(self._key.sign(text.encode('ascii')))}"


def opened(data: bytes) -> Caller:
    """Who wants to connect.

    Raises:
        Refused: code `callout.malformed`. Denied: code `callout.signature`: the key was not proven.
    """
    try:
        _, body, _ = data.split(b".")
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)), type=_Claims).nats
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError) as exc:
        raise Refused("not an authorization request", code="callout.malformed") from exc
    _check_proof(claims.connect_opts, claims.client_info.nonce)
    return Caller(
        nkey=claims.connect_opts.nkey,
        host=claims.client_info.host,
        server_id=claims.server_id.id,
        user_nkey=claims.user_nkey,
    )


def _check_proof(connect: _Connect, nonce: str) -> None:
    try:
        signature = connect.sig.replace("-", "+").replace("_", "/").rstrip("=")
        raw = base64.b64decode(signature + "=" * (-len(signature) % 4), validate=True)
        if not nonce:
            raise ValueError("no challenge")  # noqa: TRY301 - as every other way in which it is not proven
        user_key(connect.nkey).verify(raw, nonce.encode())
    except (InvalidSignature, ValueError, binascii.Error) as exc:
        raise Denied("the key was not proven", code="callout.signature") from exc


def user_key(nkey: str) -> Ed25519PublicKey:
    """The Ed25519 key in a public user key ("U…"). Raises ValueError."""
    raw = base64.b32decode(nkey + "=" * (-len(nkey) % 8))
    if len(raw) != _ENCODED_BYTES or raw[0] != _PREFIX_USER:
        raise ValueError("not a public user key")
    if int.from_bytes(raw[-2:], "little") != binascii.crc_hqx(raw[:-2], 0):
        raise ValueError("a damaged key")
    return Ed25519PublicKey.from_public_bytes(raw[1:-2])


def _account_seed(seed: bytes) -> bytes:
    try:
        raw = base64.b32decode(seed.strip() + b"=" * (-len(seed.strip()) % 8))
        if not seed.startswith(b"SA") or len(raw) != _ENCODED_BYTES + 1:
            raise ValueError("another kind of key")  # noqa: TRY301 - as every other way in which it is none
    except (ValueError, binascii.Error) as exc:
        raise Denied("this is not a NATS account seed", code="nkey.malformed", hint="it starts with SA") from exc
    return raw[2 : 2 + _KEY_BYTES]


def _encode(prefix: int, raw: bytes) -> str:
    body = bytes([prefix]) + raw
    checksum = binascii.crc_hqx(body, 0).to_bytes(2, "little")
    return base64.b32encode(body + checksum).decode("ascii").rstrip("=")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
