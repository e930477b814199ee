"""Lines of every format, good and bad."""

import json
from typing import Any

import pytest

from agentplane.imports.fields import BadLine
from agentplane.imports.reading import MAX_LINE_BYTES, Format, read_line

FLAT = {
    "event_id": "evt-a1b2c3",
    "event_type": "bead.created",
    "timestamp": "2026-01-06T10:30:00Z",
    "actor": "mayor",
    "correlation_id": None,
    "data": {"bead_id": "gt-def456", "title": "Implement feature X", "issue_type": "feature", "priority": 2},
}
GO = {
    "ts": "2026-01-06T10:30:00Z",
    "source": "gt",
    "type": "sling",
    "actor": "mayor",
    "payload": {"bead": "gt-1", "target": "slot0"},
    "visibility": "feed",
}
FOREIGN = {
    "specversion": "1.0",
    "id": "A-1",
    "source": "/github/acme",
    "type": "com.GitHub.PullRequest.Opened",
    "time": "2026-01-06T10:30:00+01:00",
    "data": {"n": 1},
    "subject": "pull/7",
}


def read(document: Any, form: Format = Format.AUTO, **options: Any) -> Any:
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_line(raw, 7, form, tenant="acme", **options)


def test_the_older_vocabulary_becomes_todays_and_is_kept() -> None:
    line = read(FLAT)
    assert (line.type, line.id, line.actor, line.correlation) == ("work_order.created", "evt-a1b2c3", "mayor", None)
    assert line.data["work_order_id"] == "gt-def456"
    assert line.data["original_type"] == "bead.created"
    assert line.data["original_id"] == "evt-a1b2c3"


def test_ids_are_kept_in_their_source_s_own_words() -> None:
    data = read({**FLAT, "correlation_id": "conv-1", "caused_by": "evt-0"}).data
    assert (data["original_correlation"], data["original_cause"]) == ("conv-1", "evt-0")
    random = "8cf91d03-0710-4953-b1d1-9255cb06b132"
    assert not read({**FLAT, "event_id": random, "correlation_id": random}).data.keys() & {
        "original_id",
        "original_correlation",
        "original_cause",
    }


def test_types_are_known_however_they_are_spelt() -> None:
    line = read({**FLAT, "event_type": "BEAD.Created"})
    assert (line.type, line.data["original_type"], line.data["work_order_id"]) == (
        "work_order.created",
        "BEAD.Created",
        "gt-def456",
    )


@pytest.mark.parametrize("document", [FLAT, GO, FOREIGN])
def test_a_line_that_names_another_tenant_is_not_taken_in_any_form(document: dict[str, Any]) -> None:
    with pytest.raises(BadLine) as caught:
        read({**document, "tenant": "globex"})
    assert caught.value.code == "import.tenant"
    assert read({**document, "tenant": "acme"}).actor == read(document).actor


def test_the_plain_form_is_taken_as_it_stands() -> None:
    line = read(FLAT, Format.PLAIN)
    assert (line.type, line.data) == ("bead.created", FLAT["data"])


def test_a_go_line_has_its_content_for_an_id() -> None:
    one, same, other = read(GO), read(dict(reversed(GO.items()))), read({**GO, "ts": "2026-01-06T10:30:01Z"})
    assert one.id == same.id != other.id
    assert one.id.startswith("go-")
    assert one.data["original_fields"] == {"source": "gt", "visibility": "feed"}
    assert one.data["target"] == "slot0"
    assert (one.type, one.kind, one.correlation) == ("sling", None, None)


def test_somebody_elses_cloudevent_keeps_what_has_no_place_here() -> None:
    line = read(FOREIGN)
    assert line.type == "com.github.pullrequest.opened"
    assert line.data["original_type"] == "com.GitHub.PullRequest.Opened"
    assert line.data["original_fields"] == {"subject": "pull/7"}
    assert (line.actor, line.time.hour) == ("/github/acme", 9)


def test_numbers_that_events_cannot_hold_become_text() -> None:
    raw = json.dumps({**FLAT, "data": {"a": 0}}).replace('"a": 0', '"a": 0.1, "b": 150.0, "c": 99007199254740993')
    data = read(raw.encode(), Format.PLAIN).data
    assert data == {"a": "0.1", "b": 150, "c": "99007199254740993"}


@pytest.mark.parametrize(
    ("raw", "code", "column"),
    [
        (b'{"a": {"b": 1}\n', "import.json", 15),
        (b'{"a": {"b": 1}\r\n', "import.json", 15),
        (b'{"event_id": }', "import.json", 14),
        (b"[]", "import.json", 1),
        (b"{", "import.json", 2),
        (b'{"a": NaN}', "import.json", None),
        (b'{"a": "\\ud800"}', "import.json", None),
        (b'{"\\uDFFF": 1}', "import.json", None),
        (b'{"a": 1, "a": 2}', "import.json", None),
        (b'{"a": "\xff"}', "import.json", 8),
        (b"{}", "import.line", None),
        (b"[" * 100_000, "import.json", None),
        (b" " * (MAX_LINE_BYTES + 1), "import.too-large", None),
    ],
)
def test_what_is_no_event_says_where_and_why(raw: bytes, code: str, column: int | None) -> None:
    with pytest.raises(BadLine) as caught:
        read(raw)
    assert (caught.value.code, caught.value.column) == (code, column)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({**FLAT, "timestamp": "yesterday"}, "import.time"),
        ({**FLAT, "timestamp": None}, "import.line"),
        ({**FLAT, "event_id": ""}, "import.line"),
        ({**FLAT, "event_id": 7}, "import.line"),
        ({**FLAT, "actor": "a\nb"}, "import.line"),
        ({**FLAT, "data": [1]}, "import.line"),
        ({**FOREIGN, "specversion": "0.3"}, "import.line"),
        ({**FOREIGN, "data_base64": "aGk="}, "import.line"),
        ({**FOREIGN, "tenant": "globex"}, "import.tenant"),
        ({**FOREIGN, "tenant": ["acme"]}, "import.line"),
        ({**FOREIGN, "causationid": ["x"]}, "import.line"),
        ({**FOREIGN, "correlationid": {}}, "import.line"),
    ],
)
def test_each_fault_has_its_code(document: Any, code: str) -> None:
    with pytest.raises(BadLine) as caught:
        read(document)
    assert caught.value.code == code


def test_another_tenants_events_are_taken_where_that_is_said() -> None:
    assert read({**FOREIGN, "tenant": "globex"}, from_tenant="globex").id == "A-1"
