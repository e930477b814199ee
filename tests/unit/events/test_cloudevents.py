"""CloudEvents in and out: what we write is valid by the specification's rules, what is not is refused by name."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.errors import Refused
from agentplane.events.cloudevents import MAX_BYTES, decode, decode_stored, encode
from agentplane.events.model import Event, Phase, StoredEvent, StreamId
from agentplane.ids import EventId

NOW = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)
EVENT = Event(
    id=EventId(uuid.UUID(int=1)),
    stream=StreamId("acme", "Run", "default", "one"),
    phase=Phase.FACT,
    type="run.placed",
    type_version=2,
    actor="controller:runs",
    time=NOW,
    correlation_id=uuid.UUID(int=2),
    causation_id=uuid.UUID(int=3),
    data={"executor": "exec-1", "ü": ["é", None, True, 2**53 - 1]},
)
STORED = StoredEvent(event=EVENT, sequence=42, stream_version=7, recorded_at=NOW + timedelta(seconds=1))


def document(**changes: Any) -> bytes:
    whole = {**json.loads(encode(EVENT)), **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not ...}).encode()


def test_attributes_follow_the_specification() -> None:
    written = json.loads(encode(STORED))
    assert written["specversion"] == "1.0"
    assert written["type"] == "run.placed"
    assert written["source"] == "/agentplane/acme"
    assert written["subject"] == "Run/default/one"
    assert written["sequence"] == f"{42:019d}"
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in written)
    assert all(isinstance(v, str) or -(2**31) <= v < 2**31 for k, v in written.items() if k != "data")


def test_there_and_back() -> None:
    assert decode(encode(EVENT)) == EVENT
    assert decode_stored(encode(STORED)) == STORED
    assert decode(encode(STORED)) == EVENT


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON))
def test_any_data_comes_back(data: dict[str, Any]) -> None:
    changed = msgspec.structs.replace(EVENT, data=data)
    assert decode(encode(changed)) == changed


def test_unknown_extensions_and_any_offset_are_accepted() -> None:
    assert decode(document(traceparent="00-ab-cd-01", time="2026-01-31T14:00:00.000001+02:00")) == EVENT


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"", "cloudevent.json", "line 1 column 1"),
        (b'{"a": \n nope}', "cloudevent.json", "line 2"),
        (b"[]", "cloudevent.attribute", "object"),
        (b"\xff\xfe", "cloudevent.json", "utf-8"),
        (b"[" * 100_000, "cloudevent.json", "nested"),
        (b'{"a": ' * 500 + b"1" + b"}" * 500, "cloudevent.attribute", "specversion"),
        (b"1" * 5000, "cloudevent.json", "digits"),
        (b" " * (MAX_BYTES + 1), "cloudevent.too-large", str(MAX_BYTES)),
        (document(data={"x": float("nan")}), "cloudevent.json", "NaN"),
        (document().replace(b'"actor"', b'"kind": "x", "actor"'), "cloudevent.json", "'kind' stands twice"),
        (document(data={"x": 0.5}), "event.data", "float"),
        (document(data=[1]), "cloudevent.attribute", "data"),
        (document(data=...), "cloudevent.attribute", "data"),
        (document(tenant=...), "cloudevent.attribute", "tenant"),
        (document(tenant=7), "cloudevent.attribute", "tenant"),
        (document(actor=""), "cloudevent.attribute", "actor"),
        (document(actor="a\nb"), "cloudevent.attribute", "actor"),
        (document(name="n" * 513), "cloudevent.attribute", "name"),
        (document(specversion="0.3"), "cloudevent.attribute", "specversion"),
        (document(datacontenttype="text/xml"), "cloudevent.attribute", "datacontenttype"),
        (document(id="one"), "cloudevent.attribute", "id"),
        (document(phase="rumour"), "cloudevent.attribute", "phase"),
        (document(time="yesterday"), "cloudevent.attribute", "time"),
        (document(time="2026-01-31T12:00:00"), "cloudevent.attribute", "time"),
        (document(time="0001-01-01T00:00:00+23:00"), "cloudevent.attribute", "time"),
        (document(typeversion=0), "cloudevent.attribute", "typeversion"),
        (document(typeversion=2**31), "cloudevent.attribute", "typeversion"),
    ],
)
def test_what_is_wrong_is_refused_by_name(body: bytes, code: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(body)
    assert caught.value.code == code
    assert words in caught.value.message or words in str(caught.value.where)


@pytest.mark.parametrize(
    "changes", [{}, {"sequence": "4x", "streamversion": 1, "recordedtime": "2026-01-31T12:00:00Z"}]
)
def test_a_stored_event_needs_its_place(changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        decode_stored(document(**changes))
