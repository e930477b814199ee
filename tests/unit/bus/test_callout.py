"""Auth callout: only a proven key is answered, and an answer says exactly what its user may do."""

import base64
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import nkeys
import pytest

from agentplane.bus import accounts
from agentplane.bus.callout import Issuer, opened, user_key
from agentplane.errors import Denied, Refused

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NONCE = "8aYnzvBpiX_K5Io"


def key_pair(prefix: int) -> tuple[bytes, Any]:
    seed = bytes(nkeys.encode_seed(secrets.token_bytes(32), prefix))
    return seed, nkeys.from_seed(bytearray(seed))


def request(pair: Any, *, nonce: str = NONCE, signed: str = NONCE, nkey: str | None = None) -> bytes:
    signature = base64.b64encode(pair.sign(signed.encode())).decode()
    claims = {
        "nats": {
            "server_id": {"id": "NSERVER"},
            "user_nkey": "UEPHEMERAL",
            "client_info": {"id": 6, "host": "10.0.0.7", "nonce": nonce},
            "connect_opts": {"nkey": nkey or pair.public_key.decode(), "sig": signature},
        }
    }
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"header." + body + b".signature"


def decoded(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    answer: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return answer


def test_a_proven_key_is_known_by_its_public_half() -> None:
    _, pair = key_pair(nkeys.PREFIX_BYTE_USER)
    caller = opened(request(pair))
    assert (caller.nkey, caller.host) == (pair.public_key.decode(), "10.0.0.7")


@pytest.mark.parametrize("changes", [{"signed": "another nonce"}, {"nonce": ""}, {"nkey": "U" + "A" * 55}])
def test_a_key_that_is_not_proven_is_denied(changes: dict[str, str]) -> None:
    _, pair = key_pair(nkeys.PREFIX_BYTE_USER)
    with pytest.raises(Denied) as caught:
        opened(request(pair, **changes))
    assert caught.value.code == "callout.signature"


def test_anothers_public_key_is_denied() -> None:
    (_, mine), (_, other) = key_pair(nkeys.PREFIX_BYTE_USER), key_pair(nkeys.PREFIX_BYTE_USER)
    with pytest.raises(Denied):
        opened(request(mine, nkey=other.public_key.decode()))


@pytest.mark.parametrize("data", [b"", b"a.b.c", b"a." + base64.urlsafe_b64encode(b"[]") + b".c", b"\xff" * 40])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as caught:
        opened(data)
    assert caught.value.code == "callout.malformed"


def test_an_answer_is_signed_by_the_account_and_bound_to_the_connection() -> None:
    seed, account = key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
    _, pair = key_pair(nkeys.PREFIX_BYTE_USER)
    issuer, caller = Issuer(seed), opened(request(pair))
    assert issuer.public_key == account.public_key.decode()
    answer = issuer.allow(caller, accounts.joiner(caller.nkey), NOW).decode()
    account.verify(answer.rpartition(".")[0].encode(), _signature(answer))
    said = decoded(answer)
    assert (said["aud"], said["sub"]) == ("NSERVER", "UEPHEMERAL")
    user = decoded(said["nats"]["jwt"])
    assert user["nats"]["pub"]["allow"] == [f"agentplane-join.{caller.nkey}.request"]
    assert user["nats"]["sub"]["allow"] == [f"_INBOX.{caller.nkey}.>"]
    assert decoded(issuer.deny(caller, "executor.left", NOW).decode())["nats"]["error"] == "executor.left"


def _signature(token: str) -> bytes:
    text = token.rpartition(".")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_only_an_account_seed_makes_an_issuer() -> None:
    seed, _ = key_pair(nkeys.PREFIX_BYTE_USER)
    with pytest.raises(Denied) as caught:
        Issuer(seed)
    assert caught.value.code == "nkey.malformed"


def test_a_damaged_public_key_is_noticed() -> None:
    _, pair = key_pair(nkeys.PREFIX_BYTE_USER)
    good = pair.public_key.decode()
    user_key(good)
    with pytest.raises(ValueError, match=r"damaged|not a public"):
        user_key(good[:10] + ("A" if good[10] != "A" else "B") + good[11:])
