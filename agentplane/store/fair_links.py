"""A few connections, shared by tenants so that none of them can keep the others out. Knows nothing of statements.

A tenant gets a connection while at least one more stays free than it holds itself already: one greedy tenant holds half
of them, two a third each, and somebody new finds one (dynamic thresholds, as switches share their buffers: Choudhury
and Hahne, 1998). What becomes free goes to whoever waits and holds the fewest, and among those to whose last turn is
longest ago. Whoever waits too long is told so.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Generic, TypeVar

from agentplane.errors import Transient

CONNECTIONS: Final = 8  # opened when needed; four greedy tenants leave one for a fifth
PATIENCE_S: Final = 5.0
_REMEMBERED: Final = 1024  # tenants; whoever is forgotten had a turn before all of these, and comes before them

T = TypeVar("T")


class FairLinks(Generic[T]):
    """Hands out what is there, by turns."""

    def __init__(self, links: Sequence[T], *, patience_s: float = PATIENCE_S) -> None:
        """`patience_s`: how long somebody waits for a turn."""
        self._free = list(links)
        self._patience_s = patience_s
        self._held: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[T]]] = []
        self._turns = 0
        self._last_turn: dict[str, int] = {}

    @asynccontextmanager
    async def use(self, tenant: str) -> AsyncIterator[T]:
        """One of them for a block. `tenant` "": nobody's in particular.

        Raises:
            Transient: code `query.busy`: others, or this tenant's own questions, had them all for too long.
        """
        link = await self._taken(tenant)
        try:
            yield link
        finally:
            self._release(tenant, link)

    async def _taken(self, tenant: str) -> T:
        turn: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((tenant, turn))
        self._hand_out()
        try:
            async with asyncio.timeout(self._patience_s):
                return await turn
        except TimeoutError:
            self._give_up(tenant, turn)
            raise self._busy(tenant) from None
        except BaseException:
            self._give_up(tenant, turn)
            raise

    def _give_up(self, tenant: str, turn: "asyncio.Future[T]") -> None:
        """Leave the queue; what was handed out in the same moment goes on to the next one."""
        if turn.done() and not turn.cancelled():
            self._release(tenant, turn.result())
        self._waiting = [each for each in self._waiting if each[1] is not turn]

    def _release(self, tenant: str, link: T) -> None:
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        self._free.append(link)
        self._hand_out()

    def _hand_out(self) -> None:
        while entitled := [
            (self._held[tenant], self._last_turn.get(tenant, 0), place)
            for place, (tenant, turn) in enumerate(self._waiting)
            if self._held[tenant] < len(self._free) and not turn.done()
        ]:
            tenant, turn = self._waiting.pop(min(entitled)[2])
            self._held[tenant] += 1
            self._turns += 1
            self._note_turn(tenant)
            turn.set_result(self._free.pop())  # the one used last: those that nobody needed stay closed

    def _note_turn(self, tenant: str) -> None:
        """Remember whose turn it was, of the latest ones only."""
        self._last_turn.pop(tenant, None)
        self._last_turn[tenant] = self._turns
        if len(self._last_turn) > _REMEMBERED:
            del self._last_turn[next(iter(self._last_turn))]

    def _busy(self, tenant: str) -> Transient:
        own = self._held[tenant]
        whose = f"{own} of them by this tenant" if own else "by other tenants"
        return Transient(
            f"the query service's connections to the database have been in use for {self._patience_s:g} s, {whose}",
            code="query.busy",
            delay_s=1.0,
            hint="ask again, or fewer questions at once; `read_connections` of the projector says how many there are",
        )
