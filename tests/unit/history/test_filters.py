"""Globs mean the same in Python as in SQL's LIKE."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentplane.events.model import Phase
from agentplane.history.filters import EventFilter, like, matches
from agentplane.history.plain import plain
from tests.unit.history.made import made, number


def sql_like(pattern: str, text: str) -> bool:
    """LIKE as PostgreSQL defines it."""
    words = {"%": ".*", "_": "."}
    parts = re.findall(r"\\(.)|(.)", pattern, re.DOTALL)
    return (
        re.fullmatch("".join(re.escape(a) if a else words.get(b, re.escape(b)) for a, b in parts), text, re.DOTALL)
        is not None
    )


@given(glob=st.text("ab.*?%_\\", max_size=8), text=st.text("ab.%_\\", max_size=8))
def test_a_glob_and_its_like_agree(glob: str, text: str) -> None:
    stored = made(1, type_=text)
    assert matches(EventFilter(type=glob), stored) == sql_like(like(glob), text)


@pytest.mark.parametrize(
    ("wish", "yes"),
    [
        (EventFilter(), True),
        (EventFilter(type="thing.*", actor="user:*", kind="Thing", name="one", phase=Phase.FACT), True),
        (EventFilter(correlation=number(10_000)), True),
        (EventFilter(causes=(number(7), number(9))), False),
        (EventFilter(causes=()), False),
        (EventFilter(type="thing"), False),
        (EventFilter(actor="user:?"), False),
        (EventFilter(kind="thing"), False),
        (EventFilter(name="on"), False),
        (EventFilter(phase=Phase.INTENT), False),
        (EventFilter(correlation=number(1)), False),
    ],
)
def test_an_event_matches_when_all_that_is_given_does(wish: EventFilter, yes: bool) -> None:
    assert matches(wish, made(1)) is yes


def test_an_event_is_found_by_its_cause() -> None:
    assert matches(EventFilter(causes=(number(7), number(1))), made(2, 1))
    assert not matches(EventFilter(causes=(number(2),)), made(2, 1))


def test_the_plain_form_has_the_fields_of_the_seeds_and_no_other() -> None:
    stored = made(2, 1)
    form = plain(stored)
    assert list(form) == ["event_id", "event_type", "timestamp", "actor", "correlation_id", "caused_by", "data"]
    assert (form["caused_by"], form["timestamp"]) == (str(number(1)), "2026-03-01T00:00:00.000000Z")
    assert plain(replace(stored, event=replace(stored.event, causation_id=None)))["caused_by"] is None
