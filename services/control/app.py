"""The daemon put together: what is loaded, connected, started, and in which order it stops.

Order of start: keys and inventory (a mistake in them ends the daemon), the database, the bus, the fold of the log,
then the parts. Order of stop: nothing new is taken, what is in hand is finished, the store writes what waits.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from msgspec.structs import replace

from agentplane.bus.nats import NatsBus
from agentplane.clock import SystemClock
from agentplane.controllers.leases import Patience
from agentplane.controllers.runs import Office
from agentplane.controllers.schedule import Scheme
from agentplane.daemon.bus import connect
from agentplane.daemon.certificates import with_certificates
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.domains.discovery import installed
from agentplane.domains.registry import Registry
from agentplane.errors import Transient
from agentplane.metrics.exposition import exposed
from agentplane.ports import EventStore
from agentplane.store.outbox import OutboxCursor
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.relay import Relay
from services.control.attesting import Attestor
from services.control.bus import ControlBus
from services.control.config import ControlSettings
from services.control.connections import Connections
from services.control.desks import IntentDesk, ReportDesk
from services.control.door import Door
from services.control.gauges import gauges
from services.control.identity import Identity
from services.control.intake import Intake
from services.control.memberships import MembershipDesk
from services.control.resources import CURSOR, Cursor, Reconciler
from services.control.roster import Roster
from services.control.rulebook import Rulebook
from services.control.runtime import Runtime
from services.control.scheduler import Scheduler
from services.control.vigil import Vigil

log = get_logger()

RELAY: Final = "nats"  # the name of the cursor over the log
DRAIN_S: Final = 10.0
_STATUS_S: Final = 10.0

T = TypeVar("T")


def _domains() -> Registry:
    """What is installed; a domain that cannot be used is logged, and the others are."""
    found = installed()
    for each in found.left_out:
        log.error("a domain cannot be used", entry_point=each.entry_point, reason=each.reason)
    return found.registry


def _patience(settings: ControlSettings) -> Patience:
    return Patience(
        lease_seconds=settings.lease_seconds,
        start_grace_s=settings.start_grace_seconds,
        run_grace_s=settings.run_grace_seconds,
    )


def _scheme(settings: ControlSettings, identity: Identity, rules: dict[str, str]) -> Scheme:
    return Scheme(
        inventory=identity.inventory,
        policy=settings.policy,
        signer=identity.signer,
        lease_seconds=settings.lease_seconds,
        rules=rules,
    )


class Control:
    """All parts over one store and one bus, whichever they are."""

    def __init__(
        self,
        settings: ControlSettings,
        identity: Identity,
        store: EventStore,
        bus: ControlBus,
        cursor: Cursor,
    ) -> None:
        """`cursor`: where the controllers of resources are in the log."""
        registry, patience = _domains(), _patience(settings)
        self.rulebook = Rulebook(settings.tenants, settings.policy, identity.inventory, patience, registry)
        rules = self.rulebook.digests
        self.runtime = Runtime(store, bus, SystemClock(), registry.upcasters)
        self.roster = Roster(self.runtime, identity.inventory, identity.trusted, identity.nkeys)
        self.door = Door(self.runtime, bus, self.roster, identity.issuer)
        self.attestor = Attestor(self.runtime, bus, identity.trusted, identity.signer)
        self.vigil = Vigil(
            self.runtime,
            bus,
            self.roster.standing,
            patience=replace(patience, rules=rules),
            heartbeat_seconds=settings.heartbeat_seconds,
            clock_limit_s=settings.max_clock_skew_seconds,
        )
        scheme = _scheme(settings, identity, rules)
        self.scheduler = Scheduler(self.runtime, self.vigil, scheme, look_again_s=settings.heartbeat_seconds)
        office = Office(policy=settings.policy, signer=identity.signer, rules=rules)
        memberships = MembershipDesk(self.runtime, self.roster)
        self.intents = IntentDesk(self.runtime, office, settings.tenants, registry, memberships=memberships)
        self.reconciler = Reconciler(
            self.runtime,
            registry,
            cursor,
            look_again_s=settings.heartbeat_seconds,
            limit_s=settings.reconcile_seconds,
        )
        self.reports = ReportDesk(self.runtime, self.roster.trusted)
        self._intakes = [
            Intake(self.runtime, bus, tenants=settings.tenants, concurrency=settings.concurrency) for _ in range(3)
        ]
        self._tick_s = max(1.0, settings.lease_seconds / 10)
        self._consumers: list[asyncio.Task[object]] = []

    async def start(self, lifecycle: Lifecycle) -> None:
        """Fold the log, then start every part. Raises Transient."""
        await self.rulebook.keep(self.runtime)
        await self.runtime.catch_up()
        self.vigil.forgive()
        await self.door.open()
        await self.attestor.open()
        await self.vigil.start()
        people, alias, executors = self._intakes
        # Three consumers: reports that wait for their turn must not hold up people's intents.
        self._consumers = [
            lifecycle.spawn(people.consume("control-intents", INTENTS, self.intents.act), "intents"),
            lifecycle.spawn(alias.consume("control-alias", ALIAS, self.intents.act), "alias"),
            lifecycle.spawn(executors.consume("control-reports", REPORTS, self.reports.act), "reports"),
        ]
        lifecycle.spawn(self.runtime.follow(), "follow")
        lifecycle.spawn(self.scheduler.run(), "scheduler")
        lifecycle.spawn(self.vigil.watch(self._tick_s), "leases")
        lifecycle.spawn(self.vigil.listen(), "heartbeats")
        lifecycle.spawn(self.reconciler.run(), "controllers")

    async def drain(self) -> None:
        """Take nothing new, finish what is in hand."""
        for consumer in self._consumers:
            consumer.cancel()
        await asyncio.gather(*self._consumers, return_exceptions=True)
        await asyncio.gather(*(intake.drain() for intake in self._intakes))

    def status(self) -> str:
        """One line for people."""
        state = self.runtime.state
        live = sum(1 for _ in state.live_runs())
        unreadable = f", {state.unreadable} events that cannot be read" if state.unreadable else ""
        newer = f", {state.newer} events of newer versions" if state.newer else ""
        return f"at event {state.position}: {live} live runs, {len(state.executors())} executors{unreadable}{newer}"


INTENTS: Final = "agentplane.*.intent.>"
ALIAS: Final = "eventplane.*.intent"
REPORTS: Final = "agentplane-executor.*.report"


async def run(settings: ControlSettings, lifecycle: Lifecycle) -> None:
    """Serve until told to stop."""
    identity = Identity(settings)
    conninfo = settings.postgres.full_conninfo()
    store = await _patiently("PostgreSQL", lambda: PostgresEventStore.open(conninfo), lifecycle)
    if store is None:
        return
    async with store:
        bus = await _patiently("NATS", lambda: _connect(settings), lifecycle)
        if bus is None:
            return
        try:
            cursor = OutboxCursor(conninfo, CURSOR)
            control = Control(settings, identity, store, bus, cursor)
            relay = _relay(store, conninfo, bus)
            if (joining := settings.joining) is not None:
                watching = _watch_connections(settings, joining.watcher_nkey_seed_file, control, lifecycle)
                lifecycle.spawn(watching, "connections")
            own = gauges(control.runtime, control.vigil, relay[0])
            async with exposed(settings.metrics_port, with_certificates(settings.nats, own)):
                await _serve(control, relay, lifecycle)
            await cursor.close()
        finally:
            await bus.close()


async def _watch_connections(
    settings: ControlSettings, seed_file: Path, control: Control, lifecycle: Lifecycle
) -> None:
    as_watcher = settings.nats.model_copy(update={"nkey_seed_file": seed_file})
    watcher = await _patiently("NATS", lambda: connect(as_watcher, "agentplane-control-watcher"), lifecycle)
    if watcher is None:
        return
    try:
        await Connections(control.runtime, watcher, control.roster).run()
    finally:
        await watcher.close()


async def _serve(control: Control, relay: tuple[Relay, OutboxCursor], lifecycle: Lifecycle) -> None:
    if await _patiently("the log", lambda: _started(control, lifecycle), lifecycle) is None:
        return
    relaying = lifecycle.spawn(relay[0].run(), "relay")
    reporting = lifecycle.spawn(_report(control, relay[0], lifecycle), "status")
    lifecycle.ready(control.status())
    await lifecycle.stopping.wait()
    try:
        async with asyncio.timeout(DRAIN_S):
            await control.drain()
    except TimeoutError:
        log.warning("not everything was finished in time; it comes again", seconds=DRAIN_S)
    for task in (reporting, relaying):
        task.cancel()
    await asyncio.gather(reporting, relaying, return_exceptions=True)
    await relay[1].close()
    await lifecycle.close()


async def _started(control: Control, lifecycle: Lifecycle) -> bool:
    await control.start(lifecycle)
    return True


def _relay(store: PostgresEventStore, conninfo: str, bus: NatsBus) -> tuple[Relay, OutboxCursor]:
    cursor = OutboxCursor(conninfo, RELAY)
    return Relay(store, cursor, bus), cursor


async def _connect(settings: ControlSettings) -> NatsBus:
    bus = await connect(settings.nats, "agentplane-control")
    try:
        await bus.ensure_streams()
    except BaseException:
        await bus.close()
        raise
    return bus


async def _patiently(what: str, attempt: Callable[[], Awaitable[T]], lifecycle: Lifecycle) -> T | None:
    """The result of an attempt that is repeated while its other side is away; None when we are told to stop first."""
    told = ""
    while not lifecycle.stopping.is_set():
        try:
            return await attempt()
        except Transient as error:
            if told != str(error):
                told = str(error)
                lifecycle.status(f"waiting for {what}: {told}")
                log.warning("waiting", what=what, code=error.code, error=told)
            try:
                async with asyncio.timeout(error.delay_s):
                    await lifecycle.stopping.wait()
            except TimeoutError:
                continue
    return None


async def _report(control: Control, relay: Relay, lifecycle: Lifecycle) -> None:
    while True:
        trouble = f"; {relay.trouble}" if relay.trouble else ""
        lifecycle.status(control.status() + trouble)
        await asyncio.sleep(_STATUS_S)
