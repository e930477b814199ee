"""The executor between its conversation with control and its attempts: what it says, and what it does when told."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.clock import SystemClock
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.metrics.exposition import Gauge
from agentplane.ports import Bus
from agentplane.runs.model import Resources
from agentplane.runs.protocol import HeartbeatReply, HeartbeatRequest
from services.executor.attempts import Attempts
from services.executor.config import ExecutorSettings
from services.executor.delivery import Delivery
from services.executor.facts import Probed, boot_id, executor_facts, free_disk_mib, total_resources
from services.executor.fetch import Responder
from services.executor.heartbeat import Heart
from services.executor.ledger import Ledger
from services.executor.reconcile import Room
from services.executor.renewal import Renewal
from services.executor.statedir import StateDirectory

# Committed records are kept this long after all: a database restored from yesterday asks for them again.
KEPT_RECORDS: Final = 10_000


class Parts(msgspec.Struct, frozen=True):
    """What works for it."""

    ledger: Ledger
    delivery: Delivery
    attempts: Attempts
    fetch: Responder


class Executor:
    """One host's executor. `assemble` before anything else."""

    def __init__(
        self,
        settings: ExecutorSettings,
        state: StateDirectory,
        key_id: str,
        probed: Callable[[], Probed],
        renewal: Renewal | None = None,
        *,
        answered: Callable[[HeartbeatReply], None] = lambda _: None,
    ) -> None:
        """`renewal`: of its keys; None: they stay. `answered`: is told of each answer of control."""
        self._renewal = renewal
        self._answered = answered
        self._clock = SystemClock()
        self._settings = settings
        self._state = state
        self._key_id = key_id
        self._boot_id = boot_id()
        self._probed = probed
        self._parts: Parts
        self._heart: Heart | None = None
        self._committed = 0
        self._forgotten = 0
        self._lifecycle: Lifecycle | None = None

    def assemble(self, parts: Parts) -> None:
        """Take the parts, which know us in turn."""
        self._parts = parts

    def journaled(self) -> None:
        """There is something to deliver."""
        self._parts.delivery.journaled()

    def changed(self) -> None:
        """There is something to tell, or room for more."""
        if self._heart is not None:
            self._heart.beat_now()

    @property
    def holding(self) -> int:
        """How many leases are in use here."""
        return self._parts.attempts.holding

    async def adopt(self, bus: Bus, lifecycle: Lifecycle) -> None:
        """Resume what an earlier process left, and deliver what it journaled."""
        self._lifecycle = lifecycle
        parts, name = self._parts, self._settings.name
        parts.attempts.load()
        parts.attempts.apply(None, self._room(self._total()))
        self._heart = Heart(bus, name, self.request, self.act)
        await bus.respond(subjects.artifact(name), parts.fetch)

    def converse(self, lifecycle: Lifecycle) -> None:
        """Talk to control from now on."""
        if self._heart is None:
            raise ValueError("nothing was adopted yet")
        lifecycle.spawn(self._parts.delivery.run(), "delivery")
        lifecycle.spawn(self._heart.listen(), "wake-ups")
        lifecycle.spawn(self._heart.run(), "heartbeat")

    def reconnected(self) -> None:
        """The bus is back, perhaps with nothing of what it held."""
        self._parts.delivery.reconnected()
        self.changed()

    async def stop(self, flush_s: float) -> None:
        """Take nothing new, leave guests to their shims, hand the journal to the bus."""
        self._heart = None
        await self._parts.attempts.pause()
        await self._parts.delivery.flush(flush_s)

    def request(self) -> HeartbeatRequest:
        """What a heartbeat says."""
        head = self._parts.ledger.head
        return HeartbeatRequest(
            executor=self._settings.name,
            key_id=self._key_id,
            boot_id=self._boot_id,
            facts=executor_facts(self._settings, self._probed(), self._total(), draining=self._state.draining),
            active=self._parts.attempts.active(self._committed),
            journal_index=head.index,
            journal_digest=head.digest or "",
            clock=self._clock.now(),
        )

    def act(self, reply: HeartbeatReply) -> bool:
        """Do what an answer says; True when control should be asked again soon."""
        self._parts.delivery.heard()
        self._answered(reply)
        if reply.accepted:
            self._committed = reply.committed_index
            self._parts.delivery.answered(reply.committed_index)
            self._forget_old_records()
            self._renew(asked=reply.rotate)
        again = self._parts.attempts.apply(reply, self._room(self._total()))
        if self._lifecycle is not None:
            self._lifecycle.status(self.status())
        return again

    def _renew(self, *, asked: bool) -> None:
        if self._renewal is not None and self._lifecycle is not None and self._renewal.wanted(asked):
            self._lifecycle.spawn(self._renewal.renew(), "renewal")

    def status(self) -> str:
        """One line for people."""
        journal = f"journal {self._parts.ledger.index}, {self._committed} committed"
        return f"{self._parts.attempts.holding} runs, {journal}{', draining' if self._state.draining else ''}"

    async def gauges(self) -> Iterable[Gauge]:
        """What Prometheus is told."""
        index = self._parts.ledger.index
        return (
            Gauge("journal_records", "Records in this executor's journal, forgotten ones too.", index),
            Gauge("evidence_backlog_records", "Records that control has not committed.", index - self._committed),
            Gauge("runs_here", "Leases in use on this host.", self._parts.attempts.holding),
            Gauge("draining", "1: takes nothing new.", self._state.draining),
            Gauge("disk_free_mib", "Free for runs, after the reserve.", max(0, self._total().disk_mib)),
        )

    def _total(self) -> Resources:
        return total_resources(self._settings, free_disk_mib(self._state.path))

    def _room(self, total: Resources) -> Room:
        limits, caps = self._settings.limits, self._settings.caps
        return Room(
            accepting=total.disk_mib > 0,
            draining=self._state.draining,
            slots=limits.slots,
            total=total,
            keep_runs=caps.keep_runs,
        )

    def _forget_old_records(self) -> None:
        needed = self._parts.attempts.oldest_needed_index
        index = min(self._committed, self._parts.ledger.index, needed - 1 if needed else self._committed) - KEPT_RECORDS
        if index > self._forgotten and self._lifecycle is not None:
            self._forgotten = index
            self._lifecycle.spawn(self._parts.ledger.forget(index), "forgetting")
