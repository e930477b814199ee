"""Somebody watches while those who answer come and go."""

from collections.abc import Awaitable, Callable

import pytest

from agentplane.cli.watching import Seen, changes
from agentplane.errors import Refused, Transient

AWAY = Transient("nobody answers", code="bus.no-responder")
Answer = list[Seen] | Exception


def looks(*answers: Answer) -> Callable[[], Awaitable[list[Seen]]]:
    rest = iter((*answers, Refused("the story is over", code="test.over")))

    async def look() -> list[Seen]:
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return look


async def told(*answers: Answer) -> list[list[str]]:
    async def pause(_: float) -> None:
        pass

    watched = changes(looks(*answers), pause)
    lists: list[list[str]] = []
    while True:
        try:
            news = await anext(watched)
        except Refused:
            return lists
        lists.append([f"{each.name}{each.document['v']}" for each in news])


def a(version: int) -> Seen:
    return Seen("a", {"v": version})


async def test_only_what_is_new_or_has_changed_is_told_again() -> None:
    b = Seen("b", {"v": 1})
    assert await told([a(1)], [a(1)], [a(1), b], [a(2), b], [b], [a(2), b]) == [["a1"], ["b1"], ["a2"], ["a2"]]


async def test_a_list_without_anything_is_told_once() -> None:
    assert await told([], [], [a(1)]) == [[], ["a1"]]


async def test_an_outage_is_waited_out_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert await told([a(1)], AWAY, AWAY, [a(1)], AWAY, [a(2)]) == [["a1"], ["a2"]]
    assert capsys.readouterr().err.splitlines() == ["waiting: nobody answers", "again there"] * 2


async def test_who_never_had_an_answer_is_told() -> None:
    with pytest.raises(Transient):
        await anext(changes(looks(AWAY)))
