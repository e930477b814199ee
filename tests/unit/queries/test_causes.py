"""What hangs together with an event is found by causes as well as by correlations, and however deep it goes."""

from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.errors import AgentplaneError, NotFound, Refused
from agentplane.events.model import StoredEvent
from agentplane.history.causes import Causes
from agentplane.queries.causes import causes
from agentplane.queries.client import QueryClient
from agentplane.queries.history import HistoryAnswers
from agentplane.queries.protocol import EVENTS_LIST, answered, failed
from tests.unit.history.made import made, number
from tests.unit.history.memory_log import MemoryLog


def alone(sequence: int, cause: int | None = None) -> StoredEvent:
    """An event that says its cause and shares no correlation with it, as in VerMAS' histories."""
    stored = made(sequence, cause)
    return replace(stored, event=replace(stored.event, correlation_id=number(50_000 + sequence)))


class Service:
    """The two answers that it takes, over the wire's own words."""

    def __init__(self, log: MemoryLog) -> None:
        self._answers = HistoryAnswers(log)

    async def request(self, subject: str, data: bytes, *, timeout_s: float) -> bytes:
        _, tenant, name = subject.split(".")
        answer = self._answers.events_list if name == EVENTS_LIST else self._answers.events_get
        try:
            return answered(await answer(tenant, data))
        except AgentplaneError as error:
            return failed(error)


async def asked(log: MemoryLog, which: int) -> Causes:
    return await causes(QueryClient(Service(log), "acme"), str(which))  # type: ignore[arg-type]


def sequences(graph: Causes) -> list[int]:
    return [each.sequence for each in graph.events.values()]


@pytest.mark.parametrize(("of", "kept"), [(1, [1, 2, 3, 4, 5]), (2, [1, 2, 4, 5]), (4, [1, 2, 4, 5]), (6, [6])])
async def test_effects_need_no_correlation(of: int, kept: list[int]) -> None:
    stored = [alone(1), alone(2, 1), alone(3, 1), alone(4, 2), alone(5, 4), alone(6)]
    assert sequences(await asked(MemoryLog(stored), of)) == kept


async def test_effects_of_effects_of_the_same_correlation_are_found_too() -> None:
    stored = [made(1), made(2, 1), alone(3, 2), alone(4, 3)]
    assert sequences(await asked(MemoryLog(stored), 1)) == [1, 2, 3, 4]


async def test_many_effects_are_asked_for_in_parts() -> None:
    stored = [alone(1), *(alone(each, 1) for each in range(2, 702)), alone(702, 701)]
    assert sequences(await asked(MemoryLog(stored, max_page=300), 1)) == list(range(1, 703))


async def test_a_missing_cause_is_dangling_and_a_circle_is_refused() -> None:
    assert (await asked(MemoryLog([alone(9, 8)]), 9)).dangling == {number(9): number(8)}
    with pytest.raises(Refused) as caught:
        await asked(MemoryLog([alone(1, 3), alone(2, 1), alone(3, 2)]), 2)
    assert caught.value.code == "history.cycle"
    with pytest.raises(NotFound):
        await asked(MemoryLog([alone(1)]), 2)


async def test_of_an_older_service_correlations_are_enough() -> None:
    class Older(MemoryLog):
        async def events(self, tenant: str, wish: Any, **window: Any) -> Any:
            if wish.causes is not None:
                raise Refused("a field that is not known", code="query.version")
            return await super().events(tenant, wish, **window)

    assert sequences(await asked(Older([made(1), made(2, 1), alone(3, 2)]), 1)) == [1, 2]
