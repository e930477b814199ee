"""Places in the log as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from agentplane.errors import Refused
from agentplane.history.places import MAX_SEQUENCE, Place, parse_place

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0", Place(sequence=0)),
        (" 1234 ", Place(sequence=1234)),
        (str(MAX_SEQUENCE), Place(sequence=MAX_SEQUENCE)),
        ("1d", Place(time=NOW - timedelta(days=1))),
        ("2h", Place(time=NOW - timedelta(hours=2))),
        ("1d12h30m5s", Place(time=NOW - timedelta(days=1, hours=12, minutes=30, seconds=5))),
        ("250ms", Place(time=NOW - timedelta(milliseconds=250))),
        ("1w", Place(time=NOW - timedelta(weeks=1))),
        ("2026-01-31", Place(time=datetime(2026, 1, 31, tzinfo=UTC))),
        ("2026-01-31T12:00:00", Place(time=datetime(2026, 1, 31, 12, tzinfo=UTC))),
        ("2026-01-31T12:00:00.5+02:00", Place(time=datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC))),
    ],
)
def test_a_place_is_a_sequence_a_span_or_a_time(text: str, place: Place) -> None:
    assert parse_place(text, NOW) == place


@pytest.mark.parametrize(
    "text", ["", "yesterday", "-1", "1x", "d", "1.5h", str(MAX_SEQUENCE + 1), "9" * 30, "999999999w", "2026-13-01", "²"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_place(text, NOW)
    assert caught.value.code == "history.place"
