"""How commands wait: what ends a wait, what does not, and what is said to whoever leaves."""

import asyncio
from collections.abc import Iterator

import pytest

from agentplane.cli.waiting import leaving, until
from agentplane.errors import Denied, NotFound, Transient


async def test_a_wait_outlives_what_is_not_there_yet_and_who_does_not_answer() -> None:
    answers: Iterator[Exception | int] = iter([NotFound("not yet", code="x"), Transient("away", code="y"), 1, 2, 3])

    async def look() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await until(look, lambda seen: seen > 1, within_s=60, otherwise="never", hint="look") == 2
    assert next(answers) == 3  # not asked once more


async def test_a_wait_that_takes_too_long_says_for_what_and_where_to_look() -> None:
    async def look() -> int:
        return 0

    with pytest.raises(Transient, match="it still runs") as caught:
        await until(look, bool, within_s=0.01, otherwise="it still runs", hint="agentplane executor list", where="a")
    assert (caught.value.code, caught.value.hint) == ("view.late", "agentplane executor list")


async def test_what_will_not_change_by_waiting_ends_it() -> None:
    async def look() -> int:
        raise Denied("no", code="bus.denied")

    with pytest.raises(Denied):
        await until(look, bool, within_s=60, otherwise="never", hint="look")


@pytest.mark.parametrize("how", [KeyboardInterrupt, asyncio.CancelledError])
def test_who_leaves_is_told_what_goes_on(how: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(how), leaving("it goes on"):
        raise how
    assert capsys.readouterr().err == "it goes on\n"
    with pytest.raises(Denied), leaving("it goes on"):
        raise Denied("no", code="x")
    assert capsys.readouterr().err == ""
