"""Times as text: every moment there is, and back."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.clock import EARLIEST, parse_rfc3339, rfc3339


@given(st.datetimes(min_value=EARLIEST.replace(tzinfo=None)))
def test_what_is_written_is_read_back_and_sorts_as_time_does(moment: datetime) -> None:
    written = rfc3339(moment.replace(tzinfo=UTC))
    assert parse_rfc3339(written) == moment.replace(tzinfo=UTC)
    assert len(written) == len("2026-01-31T12:00:00.123456Z")


def test_the_earliest_moment_has_a_year_by_every_clock() -> None:
    for hours in (-23, 23):
        assert parse_rfc3339(EARLIEST.astimezone(timezone(timedelta(hours=hours))).isoformat()) == EARLIEST


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00"])
def test_moments_that_utc_does_not_have_are_no_moments(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|range"):
        parse_rfc3339(text)
