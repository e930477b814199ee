"""Wires the executor and runs it until it is told to stop; decides nothing itself.

Stopping keeps guests running: their shims outlive this process, and the next one adopts them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.clock import SystemClock
from agentplane.daemon.certificates import with_certificates
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError
from agentplane.evidence.edge import load_public_key
from agentplane.evidence.journal_file import JournalFile
from agentplane.evidence.keys import CONTROL, TrustedKeys
from agentplane.metrics.exposition import exposed
from agentplane.ports import Bus
from agentplane.runs.protocol import HeartbeatReply
from services.executor.attempts import Attempts
from services.executor.bundles import clear_staging
from services.executor.config import ExecutorSettings
from services.executor.console import Console
from services.executor.daemon import Executor, Parts
from services.executor.delivery import Delivery
from services.executor.dismissal import Dismissal, asked
from services.executor.facts import Probed
from services.executor.fetch import Responder
from services.executor.host import Host
from services.executor.identity import Identity, load_identity
from services.executor.joining import Entrance
from services.executor.ledger import Ledger
from services.executor.nixhost import NixHost
from services.executor.planning import plan_caps
from services.executor.renewal import Renewal
from services.executor.statedir import StateDirectory, open_state
from services.executor.surroundings import Surroundings

log = get_logger()

_FLUSH_S: Final = 2.0
_PROBE_PATIENCE_S: Final = 20.0  # a first probe builds a guest; control hears of us after this in any case
_WORKERS: Final = 4  # Nix builds, unpacking, launching: at once


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What is ours on this host, opened and locked."""

    settings: ExecutorSettings
    state: StateDirectory
    identity: Identity
    journal: JournalFile
    workers: ThreadPoolExecutor

    def close(self) -> None:
        """Let another process have it."""
        self.workers.shutdown(wait=False, cancel_futures=True)
        self.journal.close()
        self.state.close()


def open_all(settings: ExecutorSettings) -> Opened:
    """Open the keys, the state directory and the journal.

    Raises:
        NotFound, Refused: a key file is missing or unfit.
        Denied, Conflict, Transient, Broken: as `open_state`.
        Tampered: the journal does not verify.
    """
    load_public_key(settings.control_public_key_file)
    state = open_state(settings.state_dir)
    try:
        identity = load_identity(settings)
        journal = JournalFile(state.path / "journal", identity.signer, identity.journal_keys, settings.name)
    except AgentplaneError:
        state.close()
        raise
    if journal.repair is not None:
        log.warning("the journal had a torn tail, which was never sent; cut off", repair=str(journal.repair))
    clear_staging(state.path)
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="work")
    return Opened(settings=settings, state=state, identity=identity, journal=journal, workers=workers)


async def run(settings: ExecutorSettings, lifecycle: Lifecycle, again: asyncio.Event | None = None) -> None:
    """Open what is on disk, get onto the bus, adopt what runs, then serve until `lifecycle.stopping`.

    `again` is set when it stopped to be started again, with other keys.
    """
    opened, host = open_all(settings), NixHost(settings)
    grace_s, clock = settings.dismissed_grace_seconds, SystemClock()
    dismissal = Dismissal(opened.state, clock, lambda: asked(settings, opened.identity), grace_s)
    lifecycle.spawn(dismissal.run(), "dismissal")
    try:
        if (bus := await Entrance(settings, opened.identity, lifecycle).enter()) is None:
            return
        try:
            restart = _restart(lifecycle, again)
            executor = assemble(opened, host, bus, lambda: host.probed, restart, dismissal.heard)
            probing = lifecycle.spawn(_probe(host, opened.workers, executor), "probing")
            async with exposed(settings.metrics_port, with_certificates(settings.nats, executor.gauges)):
                await serve(executor, bus, lifecycle, probing)
        finally:
            await bus.close()
    finally:
        host.stop()
        opened.close()


def _restart(lifecycle: Lifecycle, again: asyncio.Event | None) -> Callable[[], None]:
    def restart() -> None:
        if again is not None:
            again.set()
        lifecycle.stopping.set()  # quietly: the service manager would take a word of stopping for the end

    return restart


async def _probe(host: NixHost, workers: ThreadPoolExecutor, executor: Executor) -> None:
    log.info("probing this host")
    probed = await asyncio.get_running_loop().run_in_executor(workers, host.find_out)
    log.info("probed", backends=probed.backends, kvm=probed.kvm.cause, versions=probed.versions)
    executor.changed()


async def serve(executor: Executor, bus: NatsBus, lifecycle: Lifecycle, probing: asyncio.Task[None]) -> None:
    """Adopt at once; talk to control when there is something to offer, or something that it waits to hear of."""
    bus.on_reconnect(executor.reconnected)
    await executor.adopt(bus, lifecycle)
    lifecycle.ready(executor.status())
    if not executor.holding:
        stopping = asyncio.ensure_future(lifecycle.stopping.wait())
        await asyncio.wait({probing, stopping}, timeout=_PROBE_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    executor.converse(lifecycle)
    await lifecycle.stopping.wait()
    await executor.stop(_FLUSH_S)


def assemble(  # noqa: PLR0917 - one parameter per part
    opened: Opened,
    host: Host,
    bus: Bus,
    probed: Callable[[], Probed],
    restart: Callable[[], None] = lambda: None,
    answered: Callable[[HeartbeatReply], None] = lambda _: None,
) -> Executor:
    """Put all parts together."""
    settings, state = opened.settings, opened.state
    key_id = opened.identity.signer.key_id
    executor = Executor(
        settings, state, key_id, probed, Renewal(settings, opened.identity, bus, restart), answered=answered
    )
    ledger = Ledger(opened.journal, executor.journaled)
    around = Surroundings(
        executor=settings.name,
        key_id=key_id,
        host=host,
        ledger=ledger,
        console=Console(bus, settings.name, settings.caps.console_bytes_per_second),
        trusted=TrustedKeys({CONTROL: (load_public_key(settings.control_public_key_file),)}),
        secrets_dir=settings.secrets_dir,
        caps=plan_caps(settings.caps),
        clock=SystemClock(),
        workers=opened.workers,
        patience_s=settings.bundles.patience_seconds,
        changed=executor.changed,
    )
    delivery = Delivery(ledger, bus, subjects.report(settings.name))
    executor.assemble(Parts(ledger=ledger, delivery=delivery, attempts=Attempts(state, around), fetch=Responder(state)))
    return executor
