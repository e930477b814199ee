"""The state as of now, and the only way to append upon it.

The state is a fold of a prefix of the log: own appends are applied as soon as they are stored, those of others as
soon as they are read, always in the log's order. A decision is appended at the versions that it was taken upon; who
loses that race reads on and decides again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final

from agentplane.bus import subjects
from agentplane.clock import Clock
from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.errors import Conflict, Transient
from agentplane.events.model import StoredEvent
from agentplane.events.upcasting import OURS, Upcasters
from agentplane.metrics.counters import DECISIONS, count_appended
from agentplane.ports import Bus, EventStore

log = get_logger()

ATTEMPTS: Final = 10
_PAGE: Final = 1000
_GATHER_S: Final = 0.01  # between two looks at what others append; our own is known without looking

Decide = Callable[[ControlState, datetime], Decision]


class Runtime:
    """Owns the ControlState of this process. Everybody else reads it and hands in decisions."""

    def __init__(self, store: EventStore, bus: Bus, clock: Clock, upcasters: Upcasters = OURS) -> None:
        """`upcasters`: of all events that are folded here."""
        self.state = ControlState(upcasters)
        self.store = store
        self.changed = asyncio.Event()  # set whenever the state moved; the scheduler clears it
        self.turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by executor: its reports keep order
        self._bus = bus
        self._clock = clock
        self._moved = asyncio.Event()  # set, and replaced by a new one, whenever the state moved
        self._early: dict[int, StoredEvent] = {}  # own appends, stored after others' that were not read yet
        self._reading = asyncio.Lock()

    def now(self) -> datetime:
        """The clock's time, for decisions."""
        return self._clock.now()

    async def settle(self, decide: Decide) -> Decision:
        """Decide upon the state and store what follows, again and again until nobody else was faster.

        Raises:
            Transient: the database is away, the race was lost too often (`control.contended`), or a newer control has
                taken over the stream (`control.newer`).
            Refused: the store will not have the events.
        """
        for _ in range(ATTEMPTS):
            decision = decide(self.state, self.now())
            if not decision.appends:
                DECISIONS.labels("nothing").inc()
                return decision
            self._check_versions(decision)
            try:
                stored = await self.store.append(*decision.appends)
            except Conflict as conflict:
                DECISIONS.labels("overtaken").inc()
                log.debug("lost a race", code=conflict.code, error=str(conflict))
                await self.catch_up()
                continue
            DECISIONS.labels("stored").inc()
            count_appended(tuple(each.event.type for each in stored))
            await self._take(stored)
            await self._wake(decision.wake_executors)
            return decision
        raise Transient(f"others were faster {ATTEMPTS} times", code="control.contended", delay_s=0.2)

    def _check_versions(self, decision: Decision) -> None:
        for append in decision.appends:
            if append.expected_version is not None and self.state.is_beyond(append.stream):
                raise Transient(
                    f"a newer control has written on {append.stream}; this one leaves it alone",
                    code="control.newer",
                    delay_s=2.0,
                    hint="upgrade this control, or stop it",
                )

    async def catch_up(self) -> None:
        """Apply everything that is in the log. Raises Transient."""
        async with self._reading:
            while events := await self.store.read(self.state.position, _PAGE):
                for stored in events:
                    self._apply(stored)
                self._apply_early()
                if len(events) < _PAGE:
                    break

    async def refresh(self, within_s: float) -> None:
        """Catch up if that is quick; a database that is slow or away must not keep executors waiting."""
        task = asyncio.ensure_future(self.catch_up())
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if done and (failure := task.exception()) is not None and not isinstance(failure, Transient):
            raise failure
        if not done:
            task.add_done_callback(lambda late: late.cancelled() or late.exception())

    async def moved(self, within_s: float) -> None:
        """Wait until the state moves, but no longer than `within_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._moved.wait()

    async def follow(self) -> None:
        """Keep up with what other processes append, until cancelled."""
        async for _ in self.store.wakeups():
            try:
                await self.catch_up()
            except Transient as error:
                log.warning("the log cannot be read", code=error.code, error=str(error))
            await asyncio.sleep(_GATHER_S)

    async def _take(self, events: tuple[StoredEvent, ...]) -> None:
        self._early |= {stored.sequence: stored for stored in events if stored.sequence > self.state.position}
        self._apply_early()
        if self._early:
            await self.catch_up()

    def _apply_early(self) -> None:
        while (stored := self._early.pop(self.state.position + 1, None)) is not None:
            self._apply(stored)
        for sequence in [number for number in self._early if number <= self.state.position]:
            del self._early[sequence]

    def _apply(self, stored: StoredEvent) -> None:
        self.state.apply(stored)
        self.changed.set()
        self._moved.set()
        self._moved = asyncio.Event()

    async def _wake(self, names: tuple[str, ...]) -> None:
        for name in names:
            await self._bus.emit(subjects.wake(name), b"")
