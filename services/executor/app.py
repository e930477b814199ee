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
from agentplane.daemon.bus import connect
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.errors import AgentplaneError, Transient
from agentplane.evidence.edge import load_public_key, load_signer
from agentplane.evidence.journal_file import JournalFile
from agentplane.evidence.keys import CONTROL, Ed25519Signer, TrustedKeys, executor_identity
from agentplane.metrics.exposition import exposed
from agentplane.ports import Bus
from services.executor.attempts import Attempts
from services.executor.config import ExecutorSettings
from services.executor.console import Console
from services.executor.daemon import Executor, Parts
from services.executor.delivery import Delivery
from services.executor.facts import Probed
from services.executor.fetch import Responder
from services.executor.host import Host
from services.executor.ledger import Ledger
from services.executor.nixhost import NixHost, stop_builds
from services.executor.planning import plan_caps
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
    signer: Ed25519Signer
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
    signer = load_signer(settings.signing_key_file, executor_identity(settings.name))
    load_public_key(settings.control_public_key_file)
    state = open_state(settings.state_dir)
    try:
        own = TrustedKeys({signer.identity: (signer.public_key,)})
        journal = JournalFile(state.path / "journal", signer, own, settings.name)
    except AgentplaneError:
        state.close()
        raise
    if journal.repair is not None:
        log.warning("the journal had a torn tail, which was never sent; cut off", repair=str(journal.repair))
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="work")
    return Opened(settings=settings, state=state, signer=signer, journal=journal, workers=workers)


async def run(settings: ExecutorSettings, lifecycle: Lifecycle) -> None:
    """Open what is on disk, connect, adopt what runs, then serve until `lifecycle.stopping`."""
    opened = open_all(settings)
    try:
        if (bus := await _connected(settings, lifecycle)) is None:
            return
        try:
            host = NixHost(settings)
            executor = assemble(opened, host, bus, lambda: host.probed)
            probing = lifecycle.spawn(_probe(host, opened.workers, executor), "probing")
            async with exposed(settings.metrics_port, executor.gauges):
                await serve(executor, bus, lifecycle, probing)
        finally:
            await bus.close()
    finally:
        stop_builds()
        opened.close()


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


def assemble(opened: Opened, host: Host, bus: Bus, probed: Callable[[], Probed]) -> Executor:
    """Put all parts together."""
    settings, state = opened.settings, opened.state
    executor = Executor(settings, state, opened.signer.key_id, probed)
    ledger = Ledger(opened.journal, executor.journaled)
    around = Surroundings(
        executor=settings.name,
        key_id=opened.signer.key_id,
        host=host,
        ledger=ledger,
        console=Console(bus, settings.name, settings.caps.console_bytes_per_second),
        trusted=TrustedKeys({CONTROL: (load_public_key(settings.control_public_key_file),)}),
        secrets_dir=settings.secrets_dir,
        caps=plan_caps(settings.caps),
        clock=SystemClock(),
        workers=opened.workers,
        patience_s=settings.bundles.patience_s,
        changed=executor.changed,
    )
    delivery = Delivery(ledger, bus, subjects.report(settings.name))
    executor.assemble(Parts(ledger=ledger, delivery=delivery, attempts=Attempts(state, around), fetch=Responder(state)))
    return executor


async def _connected(settings: ExecutorSettings, lifecycle: Lifecycle) -> NatsBus | None:
    """Connect, however long it takes; None when told to stop meanwhile."""
    nats, told = settings.nats, False
    while not lifecycle.stopping.is_set():
        try:
            return await connect(nats, f"executor {settings.name}")
        except Transient as exc:
            if not told:
                log.warning("NATS is away; guests run on without us meanwhile", code=exc.code, reason=str(exc))
                told = True
            await _pause(lifecycle, exc.delay_s)
    return None


async def _pause(lifecycle: Lifecycle, seconds: float) -> None:
    try:
        await asyncio.wait_for(lifecycle.stopping.wait(), seconds)
    except TimeoutError:
        return
