import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from services.executor.delivery import (
    BATCH,
    STALLED_ANSWERS,
    WINDOW,
    Delivery,
    Outgoing,
    Window,
    after_answer,
    after_failure,
    after_sent,
    next_span,
)

SUBJECT = subjects.report("exec-1")


class Backlog:
    """A journal of numbered records."""

    def __init__(self, count: int = 0) -> None:
        self.index = count

    def read(self, after: int, upto: int) -> Sequence[Outgoing]:
        return [Outgoing(str(number).encode(), f"sha256:{number:064x}") for number in range(after + 1, upto + 1)]


class Committer:
    """Control's end: commits what follows, asks again for what does not."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.committed = 0
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        async for message in self.bus.consume(subjects.INTENTS, "control", subject=SUBJECT):
            number = int(message.data)
            if number > self.committed + 1:
                await message.nak(0)
                continue
            self.committed = max(self.committed, number)
            await message.ack()

    async def close(self) -> None:
        await self.bus.close()
        await asyncio.gather(self.task, return_exceptions=True)


async def settle(delivery: Delivery, control: Committer, wanted: int) -> None:
    """Heartbeats until everything is committed; pytest's timeout is the only clock."""
    while control.committed < wanted:
        await asyncio.sleep(0.001)
        delivery.answered(control.committed)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        del seconds
        await asyncio.sleep(0)

    monkeypatch.setattr("services.executor.delivery.pause", at_once)


@pytest.mark.parametrize("lost", [0, 1, 7, 40])
async def test_whatever_the_bus_loses_repeats_or_wipes_is_committed_in_the_end(no_pause: None, lost: int) -> None:
    bus, backlog = MemoryBus(), Backlog(100)
    bus.faults.lose_next = lost
    bus.faults.duplicate = True
    control, delivery = Committer(bus), Delivery(backlog, bus, SUBJECT)
    running = asyncio.ensure_future(delivery.run())
    await settle(delivery, control, 50)
    bus.faults.down = True
    backlog.index = 150
    delivery.journaled()
    await asyncio.sleep(0)
    bus.wipe()
    bus.faults.down = False
    delivery.reconnected()
    await settle(delivery, control, 150)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await control.close()
    assert control.committed == 150


async def test_a_flush_hands_over_what_is_left(no_pause: None) -> None:
    bus, backlog = MemoryBus(), Backlog(100)
    delivery = Delivery(backlog, bus, SUBJECT)
    delivery.answered(0)
    await delivery.flush(30)
    assert delivery.window.sent == 100


async def test_a_flush_without_a_bus_gives_up_in_time() -> None:
    bus = MemoryBus()
    bus.faults.down = True
    delivery = Delivery(Backlog(5), bus, SUBJECT)
    delivery.answered(0)
    await delivery.flush(0.01)
    assert delivery.window.sent == 0


async def test_what_is_committed_already_is_not_sent_again_after_a_restart(no_pause: None) -> None:
    bus = MemoryBus()
    delivery = Delivery(Backlog(100), bus, SUBJECT)
    running = asyncio.ensure_future(delivery.run())
    await asyncio.sleep(0)
    assert delivery.window.sent == 0
    delivery.answered(98)
    while delivery.window.sent < 100:  # noqa: ASYNC110 - sent in the background
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    first = await bus.stored(subjects.INTENTS, SUBJECT, 0)
    assert first is not None
    assert first[1] == b"99"


async def test_an_answer_beyond_the_journal_sends_nothing_and_breaks_nothing() -> None:
    delivery = Delivery(Backlog(3), MemoryBus(), SUBJECT)
    delivery.answered(99)
    assert await delivery.send_next() is False


def test_a_stalled_commit_sends_again_from_the_committed_record() -> None:
    window = after_sent(after_answer(Window(), 4), 9)
    for _ in range(STALLED_ANSWERS - 1):
        window = after_answer(window, 4)
        assert window.sent == 9
    assert after_answer(window, 4) == Window(committed=4, sent=4)


def test_a_restored_database_is_sent_again_what_it_lost() -> None:
    window = after_answer(Window(committed=90, sent=95), 40)
    assert next_span(window, 95) == (40, min(95, 40 + BATCH))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(0, 50)),
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.just("fail"), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 100)),
    ),
    max_size=60,
)


@given(steps)
def test_no_record_is_skipped_and_the_window_stays_bounded(story: list[tuple[str, int]]) -> None:
    window, head, handed = Window(), 0, 0  # handed: everything up to here was given to the bus at least once
    for verb, number in story:
        after, upto = next_span(window, head)
        assert window.committed <= window.sent <= max(head, window.sent)
        match verb:
            case "grow":
                head += number
            case "send":
                assert after <= handed, "a record would never be sent"
                assert upto - window.committed <= max(WINDOW, after - window.committed)
                window, handed = after_sent(window, upto), max(handed, upto)
            case "fail":
                window = after_failure(window)
            case _:
                window = after_answer(window, min(number, handed))
