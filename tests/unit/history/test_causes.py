"""What caused what: whole, pruned to one event, dangling where it must be, and never in circles."""

import re

import pytest

from agentplane.errors import Refused
from agentplane.history import drawing
from agentplane.history.causes import causes_of, missing_cause
from tests.unit.history.made import made, number

#  1 → 2 → 4 → 6     1 → 3 → 5     7 (of nobody)     8 → 9 with 8 missing
TREE = [made(1), made(2, 1), made(3, 1), made(4, 2), made(5, 3), made(6, 4), made(7), made(9, 8)]


@pytest.mark.parametrize(
    ("of", "kept"), [(1, [1, 2, 3, 4, 5, 6]), (2, [1, 2, 4, 6]), (5, [1, 3, 5]), (6, [1, 2, 4, 6]), (7, [7]), (9, [9])]
)
def test_a_graph_has_all_that_led_to_an_event_and_all_that_followed(of: int, kept: list[int]) -> None:
    event = next(each for each in TREE if each.sequence == of)
    graph = causes_of(event, TREE)
    assert [each.sequence for each in graph.events.values()] == kept
    assert graph.roots == (number(kept[0]),)


def test_a_missing_cause_is_dangling_and_told_to_whoever_may_find_it() -> None:
    graph = causes_of(TREE[-1], TREE)
    assert graph.dangling == {number(9): number(8)}
    assert missing_cause(TREE[-1], TREE) == number(8)
    assert missing_cause(TREE[-1], [*TREE, made(8, 6)]) is None
    assert "dangling: cause 00000000-0000-0000-0000-000000000008" in drawing.text(graph)


@pytest.mark.parametrize("circle", [[made(1, 1)], [made(1, 2), made(2, 1)], [made(1, 3), made(2, 1), made(3, 2)]])
def test_a_circle_is_refused_with_its_events(circle: list[object]) -> None:
    for event in circle:
        with pytest.raises(Refused) as caught:
            causes_of(event, circle)  # type: ignore[arg-type]
        assert caught.value.code == "history.cycle"
        assert all(str(each.event.id) in caught.value.message for each in circle)  # type: ignore[attr-defined]


def test_a_circle_beside_the_event_is_refused_too() -> None:
    with pytest.raises(Refused):
        causes_of(TREE[0], [*TREE, made(20, 21), made(21, 20)])


def test_an_effect_that_was_recorded_before_its_cause_is_still_its_effect() -> None:
    graph = causes_of(made(5), [made(2, 5)])
    assert graph.effects[number(5)] == (number(2),)


def test_the_text_tree_branches_only_where_causes_do() -> None:
    lines = drawing.text(causes_of(TREE[0], TREE)).splitlines()
    shape = [re.sub(r"(\d+) thing.*?\)", r"\1", line) for line in lines]
    assert shape == ["1  ←", "├─ 2", "│  ↓ 4", "│  ↓ 6", "└─ 3", "   ↓ 5"]


def test_a_chain_longer_than_the_stack_is_deep_is_drawn() -> None:
    chain = [made(1), *(made(each, each - 1) for each in range(2, 5001))]
    graph = causes_of(chain[0], chain)
    assert len(drawing.text(graph).splitlines()) == len(chain)
    assert drawing.dot(graph).count("->") == drawing.mermaid(graph).count("-->") == len(chain) - 1


def test_names_from_outside_cannot_leave_their_label() -> None:
    evil = made(1, name='"]; x --> y ["<script>\n\x1b[31m\\')
    graph = causes_of(evil, [])
    label = drawing.mermaid(graph).splitlines()[1]
    assert label.count('"') == 2
    assert "<" not in label
    assert re.fullmatch(r'  e1 \[label="(?:[^"\\]|\\.)*", penwidth=3\];', drawing.dot(graph).splitlines()[2])
    assert "\x1b" not in drawing.text(graph) + drawing.dot(graph) + drawing.mermaid(graph)
    assert len(drawing.text(graph).splitlines()) == 1
