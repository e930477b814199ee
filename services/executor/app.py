"""Wires the executor and runs it until it is told to stop; decides nothing itself.

Stopping keeps guests running: their shims outlive this process, and the next one adopts them.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.clock import SystemClock
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.daemon.logs import get_logger
from agentplane.errors import Transient
from agentplane.evidence.edge import load_public_key, load_signer
from agentplane.evidence.journal_file import JournalFile
from agentplane.evidence.keys import CONTROL, Ed25519Signer, TrustedKeys, executor_identity
from services.executor.attempts import Attempts
from services.executor.config import ExecutorSettings
from services.executor.console import Console
from services.executor.daemon import Executor, Parts
from services.executor.delivery import Delivery
from services.executor.fetch import Responder
from services.executor.ledger import Ledger
from services.executor.nixhost import NixHost, stop_builds
from services.executor.planning import plan_caps
from services.executor.statedir import StateDirectory, open_state
from services.executor.surroundings import Surroundings

log = get_logger()

_FLUSH_S: Final = 2.0
_WORKERS: Final = 4  # Nix builds, unpacking, launching: at once


async def run(settings: ExecutorSettings, lifecycle: Lifecycle) -> None:
    """Open what is on disk, connect, find out what this host can do, then serve until `lifecycle.stopping`."""
    state = open_state(settings.state_dir)
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="work")
    try:
        signer = load_signer(settings.signing_key_file, executor_identity(settings.name))
        journal = _open_journal(settings, state, signer)
        host = await asyncio.to_thread(NixHost, settings)
        if (bus := await _connected(settings, lifecycle)) is None:
            journal.close()
            return
        try:
            executor = _assemble(settings, state, signer, journal, host, bus, workers)
            await _serve(executor, host, bus, lifecycle)
        finally:
            await bus.close()
            journal.close()
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
        stop_builds()
        state.close()


async def _serve(executor: Executor, host: NixHost, bus: NatsBus, lifecycle: Lifecycle) -> None:
    log.info("probing this host")
    probed = await asyncio.to_thread(host.find_out)
    log.info("probed", backends=probed.backends, kvm=probed.kvm.cause, versions=probed.versions)
    await executor.start(bus, lifecycle)
    bus.on_reconnect(executor.reconnected)
    lifecycle.ready(executor.status())
    await lifecycle.stopping.wait()
    await executor.stop(_FLUSH_S)


def _assemble(  # noqa: PLR0917 - the one place where all parts meet
    settings: ExecutorSettings,
    state: StateDirectory,
    signer: Ed25519Signer,
    journal: JournalFile,
    host: NixHost,
    bus: NatsBus,
    workers: ThreadPoolExecutor,
) -> Executor:
    executor = Executor(settings, state, signer.key_id, lambda: host.probed)
    ledger = Ledger(journal, executor.journaled)
    around = Surroundings(
        executor=settings.name,
        key_id=signer.key_id,
        host=host,
        ledger=ledger,
        console=Console(bus, settings.name, settings.caps.console_bytes_per_second),
        trusted=TrustedKeys({CONTROL: (load_public_key(settings.control_public_key_file),)}),
        secrets_dir=settings.secrets_dir,
        caps=plan_caps(settings.caps),
        clock=SystemClock(),
        workers=workers,
        changed=executor.changed,
    )
    delivery = Delivery(ledger, bus, subjects.report(settings.name))
    executor.assemble(Parts(ledger=ledger, delivery=delivery, attempts=Attempts(state, around), fetch=Responder(state)))
    return executor


def _open_journal(settings: ExecutorSettings, state: StateDirectory, signer: Ed25519Signer) -> JournalFile:
    own = TrustedKeys({signer.identity: (signer.public_key,)})
    journal = JournalFile(state.path / "journal", signer, own, settings.name)
    if journal.repair is not None:
        log.warning("the journal had a torn tail, which was never sent; cut off", repair=str(journal.repair))
    return journal


async def _connected(settings: ExecutorSettings, lifecycle: Lifecycle) -> NatsBus | None:
    """Connect, however long it takes; None when told to stop meanwhile."""
    nats, told = settings.nats, False
    while not lifecycle.stopping.is_set():
        try:
            return await NatsBus.connect(
                list(nats.servers), nkey_seed_file=nats.nkey_seed_file, name=f"executor {settings.name}"
            )
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
