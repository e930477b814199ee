"""Connections shared by tenants: none of them keeps the others out, and what is given up comes back."""

import asyncio
import random

import pytest

from agentplane.errors import Transient
from agentplane.store.fair_links import FairLinks

LONG_S = 30.0


class Asking:
    """Questions that hold a connection until they are let go."""

    def __init__(self, links: FairLinks[int]) -> None:
        self._links = links
        self._over = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.holding: list[tuple[str, int]] = []

    async def begin(self, tenant: str, count: int) -> None:
        """Some questions, and as far as they come by themselves."""
        self.tasks += [asyncio.ensure_future(self._question(tenant)) for _ in range(count)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def _question(self, tenant: str) -> None:
        async with self._links.use(tenant) as link:
            self.holding.append((tenant, link))
            try:
                await self._over.wait()
            finally:
                self.holding.remove((tenant, link))

    def held(self, tenant: str) -> int:
        return sum(1 for each, _ in self.holding if each == tenant)

    async def end(self) -> None:
        self._over.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_one_tenant_holds_half_and_the_next_ones_find_some() -> None:
    asking = Asking(FairLinks(range(8), patience_s=LONG_S))
    await asking.begin("greedy", 60)
    assert asking.held("greedy") == 4
    await asking.begin("also-greedy", 60)
    assert asking.held("also-greedy") == 2
    await asking.begin("modest", 1)
    assert asking.held("modest") == 1
    await asking.end()
    assert not asking.holding


async def test_what_becomes_free_goes_to_whose_last_turn_is_the_longest_ago() -> None:
    links = FairLinks(range(2), patience_s=LONG_S)
    asking, others = Asking(links), Asking(links)
    await asking.begin("a", 3)
    await asking.begin("b", 1)
    await others.begin("c", 1)  # after all of a's
    assert (asking.held("a"), asking.held("b"), others.held("c")) == (1, 1, 0)
    asking.tasks[0].cancel()
    await asyncio.wait([asking.tasks[0]])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (asking.held("a"), others.held("c")) == (0, 1)
    await asking.end()
    await others.end()


async def test_who_waits_too_long_is_told_whose_they_are() -> None:
    links = FairLinks(range(1), patience_s=0.01)
    async with links.use("acme"):
        with pytest.raises(Transient, match="1 of them by this tenant") as own:
            async with links.use("acme"):
                pass
        with pytest.raises(Transient, match="by other tenants") as foreign:
            async with links.use("rival"):
                pass
    assert {own.value.code, foreign.value.code} == {"query.busy"}
    assert own.value.hint
    async with links.use("rival") as link:
        assert link == 0


async def test_every_connection_comes_back_whoever_gives_up_when() -> None:
    draw = random.Random(8)  # noqa: S311 - repeatable
    for _ in range(50):
        links = FairLinks(range(draw.randint(1, 5)), patience_s=LONG_S)
        asking = Asking(links)
        for _ in range(20):
            await asking.begin(draw.choice("abcd"), 1)
            if draw.random() < 0.6:
                draw.choice(asking.tasks).cancel()
            assert len({link for _, link in asking.holding}) == len(asking.holding)
        await asking.end()
        async with links.use("new"):
            pass
        assert not asking.holding


async def test_none_is_lost_when_it_is_handed_out_in_the_moment_of_giving_up() -> None:
    links = FairLinks(range(1), patience_s=LONG_S)
    first, second = Asking(links), Asking(links)
    await first.begin("a", 1)
    await second.begin("b", 1)
    ending = asyncio.ensure_future(first.end())
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # by now b's turn has come, and b does not know yet
    second.tasks[0].cancel()
    await ending
    await asyncio.wait(second.tasks)
    async with asyncio.timeout(5), links.use("c") as link:
        assert link == 0


async def test_tenants_of_long_ago_are_forgotten_and_come_first() -> None:
    links = FairLinks(range(1), patience_s=LONG_S)
    for number in range(5000):
        async with links.use(f"tenant-{number}"):
            pass
    assert len(links._last_turn) <= 1024
    order: list[str] = []

    async def ask(tenant: str) -> None:
        async with links.use(tenant):
            order.append(tenant)

    async with links.use("somebody"):
        asked = [asyncio.ensure_future(ask(tenant)) for tenant in ("tenant-4999", "tenant-0")]
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert order == ["tenant-0", "tenant-4999"]
