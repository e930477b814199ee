"""What a runner is asked to do, and how it ended. The contract of all runners."""

from typing import Protocol

import msgspec

from agentplane.guests.qemu import Accelerator
from agentplane.guests.tarball import TarLimits
from agentplane.runs.model import Resources, StorePath, Wire
from agentplane.runs.states import Outcome


class InputImage(Wire, frozen=True, kw_only=True):
    """A named input as a read-only image (`qemu`) or tree (`process`), in the store."""

    name: str
    image: StorePath


class Caps(Wire, frozen=True, kw_only=True):
    """How much of each stream is kept; what comes beyond is taken and discarded. The result beyond is refused."""

    console_bytes: int = 4 << 20
    serial_bytes: int = 1 << 20
    events_bytes: int = 1 << 20
    artifacts: TarLimits = TarLimits()


class Timeouts(Wire, frozen=True, kw_only=True):
    """The host's own patience; the bundle's is `Plan.deadline_s`."""

    boot_s: float = 60.0  # from launch until the workload starts
    collect_s: float = 60.0  # from the workload's exit until all artifacts are handed out
    room_s: float = 600.0  # for room on the host's disk meanwhile; that is not counted as collecting
    stop_s: float = 2.0  # from being told to end until killed


class Plan(Wire, frozen=True, kw_only=True):
    """One execution of one epoch. Everything but the secrets' values; those are given to `launch` alone."""

    run: str
    tenant: str
    epoch: int
    lane: str
    run_dir: str  # of this run and epoch; `launch` makes the directory `launch-<attempt>` in it, exclusively
    spec: StorePath  # of a GuestSpec or a ProcessSpec
    inputs: tuple[InputImage, ...]
    resources: Resources
    deadline_s: float  # wall clock of the workload, from its start
    clock_base: str  # RFC 3339
    seed: str
    artifact_targets: tuple[str, ...]
    secrets: tuple[str, ...]  # names
    accelerator: Accelerator = "tcg"
    attempt: int = 1  # 2 only after attempt 1 ended before its workload began
    caps: Caps = Caps()
    timeouts: Timeouts = Timeouts()


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended: outcome.json of its shim, or LOST when there is neither shim nor file."""

    outcome: Outcome
    exit_code: int
    message: str
    started: bool  # the workload began; if not, the same epoch may be launched once more
    stalled: bool
    launched_at: str
    ended_at: str
    timings_ms: dict[str, int]
    truncated: tuple[str, ...]
    received_bytes: dict[str, int]
    result_complete: bool  # result.tar is whole: `collect.extract` may be tried
    memory_peak_bytes: int
    cpu_ms: int
    enforced: tuple[str, ...]  # limits that bit: memory, swap, cpu, pids


class Execution(Protocol):
    """A running execution, launched or adopted."""

    @property
    def directory(self) -> str:
        """Where its files are: console.log, events.jsonl, result.tar, … (see runners.shim.contract)."""
        ...

    def fileno(self) -> int:
        """A descriptor that becomes readable when it is over: for `loop.add_reader` or poll."""
        ...

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        """Block until it is over; None when `timeout_s` passes first."""
        ...

    def kill(self, reason: str) -> None:
        """Have it end as CANCELLED; returns at once, `wait` tells when."""
        ...

    def close(self) -> None:
        """Let go of the descriptor; the execution goes on."""
        ...


class Runner(Protocol):
    """Starts plans. One launch per (run, epoch, attempt); the file system sees to that."""

    def launch(self, plan: Plan, secrets: dict[str, bytes]) -> Execution:
        """Start it; returns when the program runs.

        Raises:
            Conflict: code `run.already-launched`.
            Refused: the spec or the plan is not usable.
            Broken: code `runner.launch`, the program or its shim does not start.
        """
        ...
