"""A scripted host behind the real Host port, and a daemon's surroundings around it.

`ScriptedHost` stands for Nix, QEMU and the shims: it outlives the executors that a test crashes, as shims do. A
`Crash` is raised wherever a test asks for it, in place of the kill -9 at that point.
"""

import asyncio
import io
import os
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from agentplane.bus.memory import MemoryBus
from agentplane.clock import parse_rfc3339
from agentplane.errors import Conflict
from agentplane.evidence.journal_file import JournalFile
from agentplane.evidence.keys import TrustedKeys
from agentplane.runners.plan import Ending, Plan
from agentplane.runs.model import GuestPin, StorePath
from agentplane.runs.protocol import Assignment
from agentplane.runs.states import Outcome
from services.executor.attempts import Attempts
from services.executor.console import Console
from services.executor.ledger import Ledger
from services.executor.planning import PlanCaps
from services.executor.runstate import Prepared
from services.executor.statedir import StateDirectory, open_state
from services.executor.surroundings import Surroundings
from tests.unit.executor.samples import EXECUTOR, EXECUTOR_SIGNER, NOW, TRUSTED_CONTROL

SPEC = StorePath(path="/nix/store/" + "b" * 32 + "-demo-guest.json", nar_hash="sha256:" + "1" * 52)
PIN = GuestPin(spec=SPEC, kernel="/nix/store/" + "d" * 32 + "-guest-kernel", qemu="7.2.22")


class Crash(BaseException):
    """kill -9, as far as one process can tell."""


class FixedClock:
    def now(self) -> datetime:
        return parse_rfc3339(NOW)


def ending(outcome: Outcome = Outcome.EXITED, exit_code: int = 0, **changes: Any) -> Ending:
    fields: dict[str, Any] = {
        "outcome": outcome,
        "exit_code": exit_code,
        "message": f"the workload ended: {outcome.value}",
        "started": True,
        "stalled": False,
        "launched_at": NOW,
        "ended_at": NOW,
        "timings_ms": {"booted": 1000, "ended": 1500},
        "truncated": (),
        "received_bytes": {},
        "result_complete": outcome is Outcome.EXITED,
        "memory_peak_bytes": 0,
        "cpu_ms": 0,
        "enforced": (),
    }
    return Ending(**(fields | changes))


class ScriptedExecution:
    """A guest that runs until the test lets it end, or somebody kills it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._readable, self._writable = os.pipe()
        self._ending: Ending | None = None
        self.killed: str | None = None

    @property
    def directory(self) -> str:
        return str(self._directory)

    def fileno(self) -> int:
        return self._readable

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        return self._ending

    def kill(self, reason: str) -> None:
        self.killed = reason
        self.end(ending(Outcome.CANCELLED, -1, message=reason))

    def end(self, how: Ending) -> None:
        if self._ending is None:
            self._ending = how
            os.write(self._writable, b"x")

    def close(self) -> None:
        """The descriptor stays: an execution outlives whoever looks at it."""

    def dispose(self) -> None:
        os.close(self._readable)
        os.close(self._writable)


class ScriptedHost:
    """Every launch ends with `script`, or runs on while that is None."""

    def __init__(self, script: Ending | None = None, files: dict[str, bytes] | None = None) -> None:
        self.script = script
        self.files = files or {}
        self.console = b"hello from the guest\n"
        self.launches: list[tuple[Plan, dict[str, bytes]]] = []
        self.running: dict[str, ScriptedExecution] = {}
        self.refusal: Exception | None = None
        self.delays: list[Exception] = []  # what the first preparations meet
        self.patience_s = 60.0
        self.retries: list[Ending] = []  # endings of the first launches, before `script`

    def prepare(self, assignment: Assignment) -> Prepared:
        if self.delays:
            raise self.delays.pop(0)
        if self.refusal is not None:
            raise self.refusal
        return Prepared(spec=SPEC, guest=PIN, inputs=(), accelerator="tcg")

    def launch(self, backend: str, plan: Plan, secrets: dict[str, bytes]) -> ScriptedExecution:
        directory = Path(plan.run_dir) / f"launch-{plan.attempt}"
        if str(directory) in self.running:
            raise Conflict("launched before", code="run.already-launched")
        directory.mkdir(parents=True)
        (directory / "console.log").write_bytes(self.console)
        (directory / "result.tar").write_bytes(tar(self.files))
        self.launches.append((plan, secrets))
        execution = self.running[str(directory)] = ScriptedExecution(directory)
        how = self.retries.pop(0) if self.retries else self.script
        if how is not None:
            execution.end(how)
        return execution

    def adopt(self, plan: Plan) -> ScriptedExecution | Ending | None:
        return self.running.get(str(Path(plan.run_dir) / f"launch-{plan.attempt}"))

    def dispose(self) -> None:
        for execution in self.running.values():
            execution.dispose()


def tar(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


class Daemon:
    """An executor process: what it holds in memory goes when it is killed, its directory stays."""

    def __init__(self, directory: Path, host: ScriptedHost, bus: MemoryBus | None = None) -> None:
        self.state: StateDirectory = open_state(directory)
        own = TrustedKeys({EXECUTOR_SIGNER.identity: (EXECUTOR_SIGNER.public_key,)})
        self.journal = JournalFile(directory / "journal", EXECUTOR_SIGNER, own, EXECUTOR)
        self.ledger = Ledger(self.journal, lambda: None)
        self.bus = bus or MemoryBus()
        self.workers = ThreadPoolExecutor(2)
        self.changes = 0
        self.around = Surroundings(
            executor=EXECUTOR,
            key_id=EXECUTOR_SIGNER.key_id,
            host=host,
            ledger=self.ledger,
            console=Console(self.bus, EXECUTOR, 1 << 20),
            trusted=TRUSTED_CONTROL,
            secrets_dir=directory / "secrets",
            caps=PlanCaps(console_bytes=1 << 20, artifact_bytes=1 << 20, artifact_files=100),
            clock=FixedClock(),
            workers=self.workers,
            patience_s=host.patience_s,
            changed=self._changed,
        )
        self.attempts = Attempts(self.state, self.around)
        self.attempts.load()

    def _changed(self) -> None:
        self.changes += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the attempts go on until something is so; pytest's timeout is the only clock."""
        while not condition():  # noqa: ASYNC110 - what is waited for is a file
            await asyncio.sleep(0.001)

    async def crashed(self) -> None:
        """Until a `Crash` has ended the attempt's task."""
        await self.until(lambda: not any(run.supervised for run in self.attempts.local()))

    def kill(self) -> None:
        """What the kernel does to a killed process: its locks are let go."""
        self.journal.close()
        self.state.close()
        self.workers.shutdown(wait=True)

    async def stop(self) -> None:
        await self.attempts.pause()
        self.kill()
