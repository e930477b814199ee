"""What the query service says beside an answer: which read models it is from that are not simply live, and why."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from agentplane.errors import AgentplaneError
from agentplane.projections.notices import Notice, notice_of
from agentplane.projections.status import Status

_FRESH_S: Final = 1.0  # that a look at the checkpoints is good for
_PATIENCE_S: Final = 0.5  # no answer waits longer for what is said beside it

Look = Callable[[], Awaitable[tuple[Status, ...]]]
AsTold = Callable[[str, Status], Awaitable[Status]]


class Noticing:
    """Knows how the read models did a moment ago."""

    def __init__(self, look: Look, as_told: AsTold) -> None:
        """`as_told`: a status as a tenant may hear of it."""
        self._look, self._as_told = look, as_told
        self._looking = asyncio.Lock()
        self._looked_at: float | None = None
        self._status: tuple[Status, ...] = ()

    async def of(self, tenant: str, projections: Collection[str]) -> tuple[Notice, ...]:
        """The notices of an answer from these projections; none where that cannot be said soon."""
        if not projections:
            return ()
        with contextlib.suppress(AgentplaneError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await self._refresh()
                concerned = [each for each in self._status if each.projection in projections and notice_of(each)]
                told = [notice_of(await self._as_told(tenant, each)) for each in concerned]
                return tuple(notice for notice in told if notice is not None)
        return ()

    async def _refresh(self) -> None:
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if self._looked_at is None or now - self._looked_at >= _FRESH_S:
                self._status = await self._look()
                self._looked_at = now
