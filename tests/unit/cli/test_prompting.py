"""A person is asked for what is missing, in the words of the model, until it fits."""

from collections.abc import Iterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentplane.cli.prompting import fill
from agentplane.domains.model import Spec


class Grain(StrEnum):
    WHEAT = "wheat"
    RYE = "rye"


class Part(Spec):
    name: str
    grams: Annotated[int, Field(gt=0)]


class Bread(Spec):
    grain: Annotated[Grain, Field(description="Of what")]
    parts: Annotated[tuple[Part, ...], Field(min_length=2, description="What goes in")]
    tags: Annotated[list[str], Field(max_length=2)]
    prices: dict[str, int]
    oven: Part | None
    sold_since: date
    vegan: bool
    note: str = ""


class Person:
    """Answers in order, and remembers what was asked and said."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.asked: list[str] = []
        self.told: list[str] = []

    def ask(self, words: str) -> str:
        self.asked.append(words)
        return next(self._answers)

    def say(self, words: str) -> None:
        self.told.append(words)


WHOLE: dict[str, Any] = {
    "grain": "rye",
    "parts": [{"name": "water", "grams": 4}, {"name": "flour", "grams": 6}],
    "tags": ["dark", "a, b"],
    "prices": {"here": 3},
    "oven": None,
    "soldSince": "2026-01-31",
    "vegan": True,
}


def test_every_sort_of_field_can_be_answered() -> None:
    parts = ("water", "4", "y", "flour", "6", "n")
    person = Person("rye", *parts, "dark, 'a, b'", "here: 3", "null", "2026-01-31", "true")
    assert fill(Bread, {}, person.ask, person.say) == WHOLE
    assert person.asked[0] == "grain (Of what: wheat, rye)"
    assert person.asked[1] == "parts[0].name"
    assert "tags (like a, b)" in person.asked
    assert "prices (like key: value, key: value)" in person.asked
    assert "vegan (true, false)" in person.asked
    assert Bread.model_validate(WHOLE).vegan


@pytest.mark.parametrize(
    ("field", "answers", "value"),
    [
        ("grain", ["barley", "wheat"], "wheat"),
        ("parts", ["water", "0", "4", "n", "a", "1", "maybe", "y", "b", "2", "n"], None),
        ("tags", ["a, b, c", "[a", "a"], ["a"]),
        ("prices", ["here", "here: much", "here: 3"], {"here": 3}),
        ("soldSince", ["soon", "2026-01-31"], "2026-01-31"),
        ("oven", ["1", "name: x", "name: x, grams: 2"], {"name": "x", "grams": 2}),
        ("vegan", ["perhaps", "false"], False),
    ],
)
def test_what_does_not_fit_is_said_and_asked_again(field: str, answers: list[str], value: Any) -> None:
    person = Person(*answers)
    given = {name: item for name, item in WHOLE.items() if name != field}
    filled = fill(Bread, given, person.ask, person.say)
    assert person.told
    assert filled[field] == (value if value is not None else [{"name": "a", "grams": 1}, {"name": "b", "grams": 2}])


def test_what_is_there_is_not_asked_for_by_either_of_its_names() -> None:
    given = {**{name: item for name, item in WHOLE.items() if name != "soldSince"}, "sold_since": "2026-01-31"}
    assert fill(Bread, given, Person().ask, Person().say) == given
