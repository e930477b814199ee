"""Who signed it, and whether that is one we trust."""

import base64

import pytest
from msgspec.structs import replace

from agentplane.caches.keys import parse_public_key, public_part, secret_text, verify
from agentplane.errors import AgentplaneError
from tests.unit.caches.samples import OTHER_SEED, OURS, SECRET, THEIRS, info_of, path, sign

INFO = info_of(path("a"), b"nar", path("b"))


def code_of(info: object, *trusted: object) -> str:
    with pytest.raises(AgentplaneError) as raised:
        verify(info, trusted, "here")  # type: ignore[arg-type]
    assert raised.value.hint
    return raised.value.code


def test_a_signature_of_a_trusted_key_is_enough() -> None:
    assert verify(sign(sign(INFO, name="theirs-1", seed=OTHER_SEED)), (OURS,), "here") == OURS


def test_nobody_signed() -> None:
    assert code_of(INFO, OURS) == "cache.unsigned"


def test_somebody_else_signed() -> None:
    assert code_of(sign(INFO, name="theirs-1", seed=OTHER_SEED), OURS) == "cache.unknown-key"
    assert code_of(sign(INFO)) == "cache.unknown-key"


def test_somebody_else_signed_under_our_name() -> None:
    assert code_of(sign(INFO, seed=OTHER_SEED), OURS) == "cache.signature"


@pytest.mark.parametrize(
    "change",
    [
        {"store_path": path("c")},
        {"nar_hash": "sha256:" + "1" * 52},
        {"nar_size": 4},
        {"references": ()},
        {"references": (path("b"), path("c"))},
    ],
)
def test_a_right_signature_is_about_this_path_hash_size_and_references_only(change: dict[str, object]) -> None:
    assert code_of(replace(sign(INFO), **change), OURS) == "cache.signature"


@pytest.mark.parametrize("signature", ["ours-1", "ours-1:", "ours-1:!!", "ours-1:" + base64.b64encode(b"x").decode()])
def test_a_signature_that_is_none(signature: str) -> None:
    assert code_of(replace(INFO, signatures=(signature,)), OURS) == "cache.signature"


@pytest.mark.parametrize(
    "text", ["", "name", "name:", ":" + str(OURS).partition(":")[2], "name:AAAA", "na me:AAAA", SECRET, str(OURS) + "="]
)
def test_a_malformed_key(text: str) -> None:
    with pytest.raises(AgentplaneError) as raised:
        parse_public_key(text)
    assert raised.value.code == "cache.key"


def test_a_secret_key_is_never_shown() -> None:
    half = SECRET.replace(SECRET[-20:-4], "A" * 16)
    with pytest.raises(AgentplaneError) as raised:
        public_part(half)
    assert raised.value.code == "cache.key"
    assert half.partition(":")[2][:20] not in str(raised.value)


def test_keys_round_trip() -> None:
    assert parse_public_key(str(OURS)) == OURS
    assert public_part(SECRET) == OURS
    assert OURS != THEIRS
    with pytest.raises(AgentplaneError):
        secret_text("no name", b"s" * 32)
