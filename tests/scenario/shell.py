"""The control daemon's parts over a store and a bus in memory, either of which can be made to fail at any call."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

from agentplane.bus import subjects
from agentplane.bus.memory import MemoryBus
from agentplane.controllers.heartbeats import Standing
from agentplane.controllers.leases import Patience
from agentplane.controllers.runs import Office
from agentplane.errors import Conflict, Transient
from agentplane.events import cloudevents
from agentplane.events.model import Append, Event, StoredEvent
from agentplane.evidence.keys import TrustedKeys
from agentplane.intents.runs import request_cancel, request_run
from agentplane.policy import Policy
from agentplane.runs.protocol import Assignment, HeartbeatReply
from agentplane.store.memory import MemoryEventStore
from services.control.desks import IntentDesk, ReportDesk
from services.control.intake import Intake
from services.control.runtime import Runtime
from services.control.scheduler import Scheduler
from services.control.vigil import Vigil
from tests.scenario.wishes import wish
from tests.scenario.world import TENANT, Executor, scheme, signer_for

WITHIN_S = 20


class Moment:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


class AdversarialStore(MemoryEventStore):
    """A store that is faster for others, away, or dies right after it stored; as a test says."""

    def __init__(self) -> None:
        super().__init__(poll_s=0.02)
        self.before: Callable[[tuple[Append, ...]], None] = lambda _: None  # raises what it likes; nothing is stored
        self.after: Callable[[tuple[Append, ...]], None] = lambda _: None  # raises; all of it is stored

    async def append(self, *appends: Append) -> tuple[StoredEvent, ...]:
        self.before(appends)
        stored = await super().append(*appends)
        self.after(appends)
        return stored

    def types(self) -> list[str]:
        return [stored.event.type for stored in self._log]


def times(count: int, failure: Exception) -> Callable[[tuple[Append, ...]], None]:
    """Fail so often, then no more."""
    left = [count]

    def fail(_: tuple[Append, ...]) -> None:
        if left[0] > 0:
            left[0] -= 1
            raise failure

    return fail


LOST_RACE = Conflict("somebody else was first", code="store.version")
AWAY = Transient("the database is away", code="store.unavailable", delay_s=0.01)


class Shell:
    """One control process."""

    def __init__(self, store: MemoryEventStore, bus: MemoryBus, clock: Moment | None = None) -> None:
        self.clock = clock or Moment()
        self.bus = bus
        self.runtime = Runtime(store, bus, self.clock)
        control, policy = signer_for("control"), Policy()
        keys = {name: signer_for(f"executor/{name}") for name in ("exec-1", "exec-2")}
        signers = [control, *keys.values()]
        trusted = TrustedKeys({signer.identity: (signer.public_key,) for signer in signers})

        def standing(name: str) -> Standing:
            ids = frozenset({keys[name].key_id}) if name in keys else frozenset[str]()
            return Standing(known=name in keys, enabled=True, key_ids=ids)

        self.vigil = Vigil(self.runtime, bus, standing, patience=Patience(), heartbeat_seconds=5)
        self.scheduler = Scheduler(self.runtime, self.vigil, scheme(policy, control, keys), look_again_s=0.05)
        self.intents = IntentDesk(self.runtime, Office(policy=policy, signer=control), (TENANT,))
        self.reports = ReportDesk(self.runtime, lambda: trusted)
        self.intake = Intake(self.runtime, bus, tenants=(TENANT,), concurrency=16)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Shell"]:
        await self.runtime.catch_up()
        await self.vigil.start()
        parts = (
            self.intake.consume("intents", "agentplane.*.intent.>", self.intents.act),
            self.intake.consume("alias", "eventplane.*.intent", self.intents.act),
            self.intake.consume("reports", "agentplane-executor.*.report", self.reports.act),
            self.runtime.follow(),
            self.scheduler.run(),
        )
        async with at_work(self.intake, *parts):
            yield self


@asynccontextmanager
async def at_work(intake: Intake, *parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Parts of a control process side by side; at the end what the intake has in hand is finished."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await intake.drain()


class Host:
    """An executor over the bus."""

    def __init__(self, bus: MemoryBus, name: str = "exec-1") -> None:
        self.bus, self.name, self.executor = bus, name, Executor(name)
        self.journal: list[bytes] = []

    def work(self, told: Assignment) -> None:
        """Run it: two records."""
        self.journal += [self.executor.started(told), self.executor.finished(told)]

    async def beat(self) -> HeartbeatReply:
        data = msgspec.json.encode(self.executor.heartbeat())
        answer = await self.bus.request(subjects.heartbeat(self.name), data, timeout_s=WITHIN_S)
        return msgspec.json.decode(answer, type=HeartbeatReply)

    async def told(self, run: str) -> Assignment:
        """Poll, as heartbeats do."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                found = [each for each in (await self.beat()).assignments if each.run == run]
                if found:
                    return found[0]
                await asyncio.sleep(0.01)

    async def report(self, data: bytes) -> None:
        await self.bus.publish(subjects.report(self.name), data, message_id=str(uuid.uuid4()))

    async def committed(self, index: int) -> None:
        """Poll until control says so."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                if (await self.beat()).committed_index >= index:
                    return
                await asyncio.sleep(0.01)


def intent(number: int = 1) -> Event:
    """A wish to run; the same number is the same wish."""
    return request_run(
        uuid.UUID(int=number << 96),
        tenant=TENANT,
        bundle_name="noop",
        actor="user:alice",
        now=datetime(2026, 3, 1, tzinfo=UTC),
        wish=wish(),
    )


def cancel(run: str, number: int = 900) -> Event:
    """A wish to cancel."""
    return request_cancel(
        uuid.UUID(int=number),
        tenant=TENANT,
        run=run,
        actor="user:bob",
        now=datetime(2026, 3, 1, tzinfo=UTC),
        reason="not needed",
    )


async def publish(bus: MemoryBus, event: Event) -> None:
    """Publish an intent, every time as a message of its own."""
    subject = subjects.event_subject(event.stream.tenant, event.phase, event.stream.kind, event.type)
    await bus.publish(subject, cloudevents.encode(event), message_id=str(uuid.uuid4()))


async def stored(store: AdversarialStore, type_: str, count: int = 1) -> None:
    """Wait until so many events of a type are in the log."""
    async with asyncio.timeout(WITHIN_S):
        async for _ in store.wakeups():
            if store.types().count(type_) >= count:
                return
