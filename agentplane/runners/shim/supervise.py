"""One supervision from launch.json to outcome.json."""

import contextlib
import json
import os
import signal
import sys
from typing import BinaryIO

from agentplane.runners.shim import cgroups, contract
from agentplane.runners.shim.contract import Ended, Launch, Launched
from agentplane.runners.shim.spawn import Program, spawn
from agentplane.runners.shim.state import boot_id, release, reserve, start_ticks, try_lock, utc_now, write_json
from agentplane.runners.shim.watch import Watch


def supervise(directory: str, secrets: BinaryIO, interrupted: int) -> str | None:
    """Start the program, say so on standard output, watch it, write the outcome. Returns why it did not start."""
    if try_lock(os.path.join(directory, contract.LOCK)) is None:
        return "another shim has this directory"
    if os.path.exists(os.path.join(directory, contract.OUTCOME)):
        return "it was given up before its shim began"
    try:
        with open(os.path.join(directory, contract.LAUNCH), "rb") as source:
            launch: Launch = json.load(source)
        program = spawn(launch, _read_secrets(secrets, len(launch["secrets"])), directory)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.errno is None else str(exc)
        write_json(directory, contract.OUTCOME, {**_failed(str(reason))})
        return str(reason)
    try:
        write_json(directory, contract.LAUNCHED, {**_launched(program)})
        reserve(directory)
    except OSError as exc:
        _end(program)
        return f"the run's directory cannot be written: {exc}"
    _answer()
    ended = _watched(launch, program, directory, interrupted)
    release(directory)
    write_json(directory, contract.OUTCOME, {**ended})
    return None


def heed_signals(wakeup: int) -> None:
    """Be told by SIGTERM, through the descriptor `wakeup`, and by no other signal that can be ignored."""
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)


def told(failure: str | None) -> int:
    """Tell the launcher why nothing runs, if so. Returns the exit status."""
    if failure is None:
        return 0
    with contextlib.suppress(OSError):  # it may have gone
        sys.stdout.write(json.dumps({"error": failure}) + "\n")
        sys.stdout.flush()
    return 1


def _watched(launch: Launch, program: Program, directory: str, interrupted: int) -> Ended:
    """Whatever goes wrong in the watching itself must end the program and be told."""
    try:
        return Watch(launch, program, directory, interrupted).run()
    except Exception as exc:  # noqa: BLE001 - the last line of defence of one run
        _end(program)
        return _failed(f"the shim failed: {type(exc).__name__}: {exc}", started=True)


def _end(program: Program) -> None:
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(program.pid, signal.SIGKILL)
        os.waitpid(program.pid, 0)
    cgroups.destroy(program.group)


def _read_secrets(source: BinaryIO, count: int) -> list[bytes]:
    values = []
    for _ in range(count):
        length = int.from_bytes(source.read(4), "big")
        value = source.read(length)
        if len(value) != length:
            raise ValueError("the secrets were cut short")
        values.append(value)
    return values


def _launched(program: Program) -> Launched:
    return {
        "shim_pid": os.getpid(),
        "shim_start": start_ticks(os.getpid()),
        "program_pid": program.pid,
        "program_start": start_ticks(program.pid),
        "boot_id": boot_id(),
        "uid": program.uid,
        "launched_at": utc_now(),
        "enforced": list(program.group.enforced),
        "group": sorted(set(program.group.directories.values())),
    }


def _answer() -> None:
    """Tell the launcher, then let go of it. One that is gone meanwhile adopts this run when it is back."""
    with contextlib.suppress(OSError):
        sys.stdout.write("{}\n")
        sys.stdout.flush()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)


def _failed(message: str, *, started: bool = False) -> Ended:
    return contract.unwatched("host-failed", message, now=utc_now(), started=started)
