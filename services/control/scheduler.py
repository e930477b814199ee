"""Runs that wait for an executor: looked at whenever something moved that could let one of them start.

A run is looked at again only when it, the fleet or what is known of the fleet's life has changed, so a long queue
costs nothing while nothing happens.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

from agentplane.controllers import schedule
from agentplane.controllers.decision import NOTHING, Decision
from agentplane.controllers.records import RunKey, RunRecord
from agentplane.controllers.schedule import Scheme
from agentplane.controllers.state import ControlState
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Transient
from services.control.runtime import Runtime
from services.control.vigil import Vigil

log = get_logger()

_RETRY_S: Final = 1.0

Fleet = tuple[object, ...]


class Scheduler:
    """Places what can be placed, and lets the rest say why it waits."""

    def __init__(self, runtime: Runtime, vigil: Vigil, scheme: Scheme, *, look_again_s: float) -> None:
        """`look_again_s`: executors fall silent without an event, so this often everything is looked at."""
        self._runtime = runtime
        self._vigil = vigil
        self._scheme = scheme
        self._look_again_s = look_again_s
        self._seen: dict[RunKey, tuple[int, Fleet]] = {}  # what was decided upon, and left waiting

    async def run(self) -> None:
        """Place runs until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._look_again_s):
                    await self._runtime.changed.wait()
            except TimeoutError:
                pass
            self._runtime.changed.clear()
            await self.place_all()

    async def place_all(self) -> None:
        """Look at every waiting run once, in the order of fairness."""
        waiting = [run for run in self._runtime.state.live_runs() if run.placeable]
        self._seen = {run.key: self._seen[run.key] for run in waiting if run.key in self._seen}
        for run in schedule.in_order(waiting):
            if self._seen.get(run.key) != self._sight(run):
                await self._place(run.key)

    async def _place(self, key: RunKey) -> None:
        try:
            await self._runtime.settle(self._decision(key))
        except Transient as error:
            log.warning("could not be placed yet", run=key.name, code=error.code, error=str(error))
            await asyncio.sleep(min(error.delay_s, _RETRY_S))
            self._runtime.changed.set()
            return
        except AgentplaneError as error:  # this run's own trouble must not stop the others'
            log.exception("cannot be placed", run=key.name, code=error.code)
        run = self._runtime.state.run(key)
        if run is not None and run.placeable:
            self._seen[key] = self._sight(run)

    def _decision(self, key: RunKey) -> Callable[[ControlState, datetime], Decision]:
        def decide(state: ControlState, now: datetime) -> Decision:
            run = state.run(key)
            if run is None or not run.placeable:
                return NOTHING
            return schedule.decide(state, run, heard=self._vigil.heard, scheme=self._scheme, now=now)

        return decide

    def _sight(self, run: RunRecord) -> tuple[int, Fleet]:
        """All that a decision about the run depends on."""
        now = self._runtime.now()
        fleet = tuple(
            (each.name, each.facts, each.leases, each.fenced, each.enrolment, self._is_stale(each.name, now))
            for each in self._runtime.state.executors()
        )
        return run.version, fleet

    def _is_stale(self, executor: str, now: datetime) -> bool:
        return self._scheme.is_stale(self._vigil.heard(executor), now)
