"""The fast canonical form is RFC 8785's, and the digest knows a repeated event from a changed one."""

import uuid
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from agentplane.errors import Refused
from agentplane.events.codec import data_of, payload
from agentplane.events.digest import body_digest, encode_data
from agentplane.runs.model import RunSuperseded, StorePath
from tests.unit.events.test_cloudevents import EVENT, JSON, NOW


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_the_bytes_are_those_of_rfc_8785(data: dict[str, Any]) -> None:
    assert encode_data(data) == rfc8785.dumps(data)


def test_keys_are_sorted_as_utf_16() -> None:
    data = {"\ue000": 1, "\U00010000": 2, "z": 3}
    assert encode_data(data) == rfc8785.dumps(data)
    assert encode_data(data).index("\U00010000".encode()) < encode_data(data).index("\ue000".encode())


@pytest.mark.parametrize(
    "data",
    [
        {"x": 1.0},
        {"x": float("nan")},
        {"x": 2**53},
        {"x": -(2**53)},
        {1: 2},
        {"x": {1}},
        {"x": "\ud800"},
        {"\ud800": 1},
    ],
)
def test_what_has_no_canonical_form_is_refused(data: dict[Any, Any]) -> None:
    with pytest.raises(Refused) as caught:
        encode_data(data)
    assert caught.value.code in {"event.data", "canonical.unrepresentable"}


def test_nesting_ends_at_64() -> None:
    data: dict[str, Any] = {}
    for _ in range(63):
        data = {"a": data}
    encode_data(data)
    with pytest.raises(Refused):
        encode_data({"a": data})


def test_the_digest_covers_everything_but_the_time() -> None:
    def digest(**changes: Any) -> bytes:
        changed = msgspec.structs.replace(EVENT, **changes)
        return body_digest(changed, encode_data(changed.data))

    assert digest() == digest(time=NOW.replace(year=2027))
    changes: list[dict[str, Any]] = [
        {"actor": "x"},
        {"type": "x"},
        {"type_version": 9},
        {"id": uuid.uuid4()},
        {"correlation_id": uuid.uuid4()},
        {"causation_id": None},
        {"data": {}},
        {"stream": msgspec.structs.replace(EVENT.stream, name="two")},
    ]
    assert len({digest(), *(digest(**change) for change in changes)}) == len(changes) + 1


def test_payloads_are_strict_and_come_back() -> None:
    path = StorePath(path="/nix/store/x", nar_hash="sha256:0")
    event = msgspec.structs.replace(EVENT, data=data_of(path))
    assert event.data == {"path": "/nix/store/x", "narHash": "sha256:0"}
    assert payload(event, StorePath) == path
    with pytest.raises(Refused) as caught:
        payload(event, RunSuperseded)
    assert caught.value.code == "event.payload"


@pytest.mark.parametrize("odd", [uuid.UUID(int=1), NOW, float("inf"), float("nan"), 1e3, (1, float("nan")), b"x"])
def test_what_an_encoder_would_quietly_convert_is_refused(odd: object) -> None:
    with pytest.raises(Refused) as caught:
        encode_data({"a": [odd]})
    assert str(caught.value.where).startswith("data.a[]")


def test_keys_that_look_like_other_types_stay_text() -> None:
    assert encode_data({"1": True, "1.5": 1, "-0": None}) == b'{"-0":null,"1":true,"1.5":1}'
