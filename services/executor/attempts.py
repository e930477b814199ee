"""All attempts of this host: the state directory's content in memory, and the tasks that carry them forward.

Applies what `reconcile` decides. An attempt whose task failed is unsupervised, so the next answer resumes it.
"""

import asyncio

from agentplane.clock import rfc3339
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Conflict
from agentplane.runs.protocol import ActiveRun, Assignment, HeartbeatReply
from services.executor.lifecycle import Attempt
from services.executor.reconcile import (
    Action,
    Cancel,
    Decline,
    Forget,
    Resume,
    Room,
    Start,
    key_of,
    missed,
    more_to_come,
    named,
    reconcile,
)
from services.executor.runstate import HOLDING, LocalRun, RunKey, RunRecord, Stage
from services.executor.statedir import StateDirectory
from services.executor.surroundings import Surroundings

log = get_logger()


class Attempts:
    """Attempts by key."""

    def __init__(self, state: StateDirectory, around: Surroundings) -> None:
        self._state = state
        self._around = around
        self._attempts: dict[RunKey, Attempt] = {}
        self._tasks: dict[RunKey, asyncio.Task[None]] = {}
        self._missed: dict[RunKey, int] = {}

    def load(self) -> None:
        """Read what an earlier process left. One unreadable attempt does not hide the others."""
        for directory in self._state.attempts():
            try:
                self._attempts[directory.key] = Attempt(self._around, directory, confirmed=False)
            except AgentplaneError as exc:
                log.warning("attempt cannot be read", run=str(directory.key), code=exc.code, reason=str(exc))

    @property
    def holding(self) -> int:
        """How many hold a lease and may have a guest."""
        return sum(attempt.record.stage in HOLDING for attempt in self._attempts.values())

    @property
    def oldest_needed_index(self) -> int | None:
        """The first journal record that an unfinished attempt may still ask for; None: no attempt is unfinished."""
        records = [attempt.record for attempt in self._attempts.values()]
        return min((record.journal_start for record in records if record.stage is not Stage.SEALED), default=None)

    def active(self, committed_index: int) -> tuple[ActiveRun, ...]:
        """Leases whose end control does not know of yet."""
        open_ones = (
            key
            for key, attempt in self._attempts.items()
            if attempt.record.seal_index is None or attempt.record.seal_index > committed_index
        )
        return tuple(ActiveRun(run=key.run, tenant=key.tenant, epoch=key.epoch) for key in sorted(open_ones))

    def local(self) -> tuple[LocalRun, ...]:
        """As `reconcile` sees them."""
        return tuple(
            attempt.local(supervised=key in self._tasks, missed=self._missed.get(key, 0))
            for key, attempt in self._attempts.items()
        )

    def apply(self, reply: HeartbeatReply | None, room: Room) -> bool:
        """Do what an answer asks for; True when control should be asked again soon."""
        absent = missed(self.local(), reply) if reply is not None else frozenset()
        self._missed = {key: self._missed.get(key, 0) + 1 for key in absent}
        if reply is not None and reply.accepted:
            for key in named(reply) & self._attempts.keys():
                self._attempts[key].confirm()
        before = len(self._attempts)
        for action in reconcile(self.local(), reply, room):
            self._do(action)
        # Only what was taken makes room in the next answer; a full host asks at its usual pace.
        continues = len(self._attempts) > before and reply is not None and more_to_come(self.local(), reply)
        return bool(absent) or continues

    async def pause(self) -> None:
        """Leave the guests to their shims: the next process adopts them."""
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _do(self, action: Action) -> None:
        try:
            match action:
                case Start(assignment):
                    self._start(assignment, declined=None)
                case Decline(assignment, reason):
                    self._start(assignment, declined=reason)
                case Resume(key):
                    self._supervise(key)
                case Cancel(key, reason):
                    log.info("cancelling", run=str(key), reason=reason)
                    self._attempts[key].cancel(reason)
                case Forget(key):
                    self._state.forget(key)
                    self._attempts.pop(key)
        except AgentplaneError as exc:
            # A name that is no name, a full disk, an epoch that was here: the next answer asks again.
            log.warning("cannot be done", action=type(action).__name__, code=exc.code, reason=str(exc))

    def _start(self, assignment: Assignment, *, declined: str | None) -> None:
        record = RunRecord(
            stage=Stage.CLAIMED,
            claimed_at=rfc3339(self._around.clock.now()),
            journal_start=self._around.ledger.index + 1,
            cancel_reason=declined,
        )
        try:
            directory = self._state.claim(assignment, record)
        except Conflict as exc:
            log.info("not started", run=str(key_of(assignment)), code=exc.code, reason=str(exc))
            return
        log.info("claimed", run=str(directory.key), bundle=assignment.pins.bundle, backend=assignment.backend)
        self._attempts[directory.key] = Attempt(self._around, directory, confirmed=True)
        self._supervise(directory.key)

    def _supervise(self, key: RunKey) -> None:
        task = asyncio.get_running_loop().create_task(self._attempts[key].run(), name=f"attempt {key}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._over(key, done))

    def _over(self, key: RunKey, task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.error("attempt failed, the next answer resumes it", run=str(key), exc_info=failure)
