"""When events happened, and where in the log that can be."""

from datetime import UTC, datetime, timedelta

import pytest

from agentplane.cli.places import window
from agentplane.errors import Refused
from agentplane.history.places import Place
from agentplane.history.windows import Window, where_to_look

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_both_ends_are_inside_and_either_may_be_open() -> None:
    closed = Window(since=MOMENT, until=MOMENT + SECOND)
    assert [closed.has(MOMENT + SECOND * after) for after in (-1, 0, 1, 2)] == [False, True, True, False]
    assert Window(since=MOMENT).has(MOMENT + SECOND)
    assert Window(until=MOMENT).has(MOMENT - SECOND)
    assert Window().has(MOMENT)


def test_a_time_is_when_it_happened_and_a_sequence_a_place() -> None:
    since, until, wanted = where_to_look(Place(time=MOMENT), Place(time=MOMENT + SECOND))
    assert (since, until) == (Place(time=MOMENT - timedelta(hours=1)), None)
    assert wanted == Window(since=MOMENT, until=MOMENT + SECOND)
    assert where_to_look(Place(sequence=5), Place(sequence=9)) == (Place(sequence=5), Place(sequence=9), Window())
    assert where_to_look(None, None) == (None, None, Window())


def test_the_first_of_all_moments_has_nothing_before_it() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    assert where_to_look(Place(time=first), None)[2] == Window(since=first)


def test_an_import_knows_times_and_no_sequence() -> None:
    assert window({"since": "2026-03-01", "until": None}) == Window(since=MOMENT)
    with pytest.raises(Refused, match="is no time") as caught:
        window({"since": None, "until": "12"})
    assert (caught.value.code, caught.value.where) == ("history.place", "--until")
