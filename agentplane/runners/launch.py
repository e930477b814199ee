"""Starts shims and finds them again: what all runners share. Nothing here knows QEMU or bubblewrap.

A launch directory is made exclusively, so one (run, epoch, attempt) runs once, whoever asks. The shim holds a lock
in it for as long as it lives: a taken lock is a running execution, outcome.json a finished one, neither a lost one.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Broken, Conflict, NotFound, Refused
from agentplane.runners.command import last_lines
from agentplane.runners.foreign import read_foreign
from agentplane.runners.plan import Ending, Plan
from agentplane.runners.shim import cgroups, contract
from agentplane.runners.shim.contract import Ended, Launch, Launched
from agentplane.runners.shim.state import boot_id, try_lock, utc_now, write_json
from agentplane.runners.spare import Spare, spawn
from agentplane.runs.states import Outcome

ANSWER_TIMEOUT_S: Final = 20.0
_MAX_WORDS: Final = 2000
_MAX_ANSWER_BYTES: Final = 1 << 20  # launched.json and outcome.json have some hundred


class ShimHandle:
    """A running execution behind its shim."""

    def __init__(self, directory: Path, pidfd: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self._directory = directory
        self._pidfd = pidfd
        self._child = child  # when the shim is ours, it must be reaped

    @property
    def directory(self) -> str:
        """The launch directory."""
        return str(self._directory)

    def fileno(self) -> int:
        """The shim's pidfd: readable when it is over."""
        return self._pidfd

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        """Block until it is over; None when `timeout_s` passes first."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if not poll.poll(None if timeout_s is None else timeout_s * 1000):
            return None
        if self._child is not None:
            self._child.wait()
        return _settle(self._directory)

    def kill(self, reason: str) -> None:
        """Have it end as CANCELLED, with `reason`."""
        if not order_end(self._directory, reason):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def close(self) -> None:
        """Let go of the descriptor; the execution goes on."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def launch_directory(run_dir: str, attempt: int) -> Path:
    """Where an attempt of a run's epoch lives."""
    return Path(run_dir) / f"launch-{attempt}"


def prepare(plan: Plan) -> Path:
    """Make the launch directory, exclusively.

    Raises:
        Conflict: code `run.already-launched`; or `run.not-relaunchable`, the attempt before it may have run something.
    """
    if plan.attempt > 1:
        before = ending_of(launch_directory(plan.run_dir, plan.attempt - 1))
        if before is None or before.started or before.outcome is not Outcome.HOST_FAILED:
            raise Conflict(
                f"attempt {plan.attempt - 1} of {plan.run} epoch {plan.epoch} may have run something",
                code="run.not-relaunchable",
                hint="a new attempt needs a new epoch",
            )
    directory = launch_directory(plan.run_dir, plan.attempt)
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError as exc:
        raise Conflict(
            f"{plan.run} epoch {plan.epoch} attempt {plan.attempt} was launched before",
            code="run.already-launched",
            where=str(directory),
        ) from exc
    return directory


def start(directory: Path, launch: Launch, secrets: Sequence[bytes], spare: Spare | None = None) -> ShimHandle:
    """Start a shim in a prepared directory, or take the spare one; returns when its program runs.

    Raises:
        Broken: code `runner.launch`.
    """
    write_json(str(directory), contract.LAUNCH, {**launch})
    group = launch["limits"]["group"] if launch["limits"] else ""
    if spare is not None and (child := spare.take()) is not None:
        answer = _converse(child, [os.fsencode(directory), *secrets])
    else:
        with (directory / contract.SHIM_LOG).open("wb") as log:
            child = spawn([str(directory)], before=cgroups.scope_prefix(group) if group else [], log=log)
        answer = _converse(child, secrets)
    if answer != {}:
        child.wait()
        said = str(answer["error"]) if answer else words_of(directory)
        raise Broken(said or "the shim ended without a word", code="runner.launch", where=str(directory))
    return ShimHandle(directory, os.pidfd_open(child.pid), child)


def handle_of(directory: Path) -> ShimHandle:
    """A handle on an execution that has just begun, whoever started its shim; it may be over already."""
    launched = _launched(directory)
    handle = _running(directory, launched) if launched is not None else None
    if handle is not None:
        return handle
    over, writing = os.pipe()
    os.close(writing)  # readable from now on, like the pidfd of what has ended
    return ShimHandle(directory, over)


def order_end(directory: Path, reason: str) -> bool:
    """Write down why it ends, and order it where its shim takes orders; False: it has to be signalled."""
    orders = directory / contract.ORDERS
    with suppress(OSError):  # on a full disk it ends all the same, and only does not know why
        write_json(str(directory), contract.CANCEL, {"reason": reason})
        (directory / contract.CANCEL).chmod(0o660)  # its shim may be another user, of our group
    if not orders.exists():
        return False
    with suppress(OSError):  # nobody listens: it is over
        pipe = os.open(orders, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(pipe, b"\0")
        finally:
            os.close(pipe)
    return True


def parse_answer(line: bytes) -> dict[str, object] | None:
    """What a shim said of its start: `{}`, or why not; None when it said nothing that can be understood."""
    try:
        answer = msgspec.json.decode(line, type=dict[str, str])
    except (msgspec.DecodeError, RecursionError):
        return None
    return {} if not answer else {"error": answer.get("error", "")[:_MAX_WORDS]}


def words_of(directory: Path) -> str:
    """The last that a shim wrote on its standard error; nothing where that is no file."""
    with suppress(OSError):
        return last_lines(read_foreign(directory / contract.SHIM_LOG, _MAX_ANSWER_BYTES))
    return ""


def adopt(directory: Path) -> ShimHandle | Ending:
    """Find an execution that somebody launched: still running, ended, or lost. It settles what is lost.

    Raises:
        NotFound: code `run.never-launched`, no launch was ever prepared there.
        Conflict: code `run.unsettled`, its shim hangs before having started anything.
    """
    if not directory.is_dir():
        raise NotFound(f"nothing was launched in {directory}", code="run.never-launched")
    until = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        launched = _launched(directory)
        if launched is not None and launched["boot_id"] == boot_id():
            handle = _running(directory, launched)
            if handle is not None:
                return handle
        try:
            return _settle(directory)
        except Conflict:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)  # its shim is between taking the lock and saying who it is: there is no event for that


def ending_of(directory: Path) -> Ending | None:
    """The outcome that its shim wrote; None where there is none (yet)."""
    try:
        data = read_foreign(directory / contract.OUTCOME, _MAX_ANSWER_BYTES)
    except FileNotFoundError:
        return None
    except OSError as exc:  # a link, for one
        raise Refused(str(exc), code="runner.outcome", where=str(directory / contract.OUTCOME)) from exc
    try:
        return msgspec.json.decode(data, type=Ending)
    except msgspec.DecodeError as exc:
        raise Refused(str(exc), code="runner.outcome", where=str(directory / contract.OUTCOME)) from exc


def _converse(child: "subprocess.Popen[bytes]", words: Sequence[bytes]) -> dict[str, object] | None:
    """Hand over the secrets, to a spare shim its directory first, and hear whether the program runs.

    None when nothing was answered.
    """
    assert child.stdin is not None  # noqa: S101 - for the type checker: both are pipes
    assert child.stdout is not None  # noqa: S101
    with suppress(BrokenPipeError), child.stdin as stdin:
        for value in words:
            stdin.write(len(value).to_bytes(4, "big") + value)
    with child.stdout as stdout:
        if not select.select([stdout], [], [], ANSWER_TIMEOUT_S)[0]:
            child.kill()
            return {"error": f"the shim said nothing within {ANSWER_TIMEOUT_S:g} s"}
        return parse_answer(stdout.readline())


def _launched(directory: Path) -> Launched | None:
    try:
        data = read_foreign(directory / contract.LAUNCHED, _MAX_ANSWER_BYTES)
        return msgspec.json.decode(data, type=Launched)
    except (OSError, msgspec.DecodeError, RecursionError):  # not there yet, or not of a shim's making
        return None


def _running(directory: Path, launched: Launched) -> ShimHandle | None:
    """A handle on the very process that wrote launched.json, or None when it is gone."""
    try:
        pidfd = os.pidfd_open(launched["shim_pid"])
    except (OSError, OverflowError):  # there is no such process, or there cannot be
        return None
    # Looked at after the descriptor is held: whose lock is still taken lived all the time, so the number was its own.
    # The shim of a guest unit is another user's, /proc need not tell us about it.
    if (lock := try_lock(str(directory / contract.LOCK))) is None:
        return ShimHandle(directory, pidfd)
    os.close(lock)
    os.close(pidfd)
    return None


def _settle(directory: Path) -> Ending:
    """The ending of an execution whose shim is gone; LOST, and cleaned up, where it left none."""
    lock = try_lock(str(directory / contract.LOCK))
    if lock is None:
        raise Conflict("its shim is only just starting or ending", code="run.unsettled", where=str(directory))
    try:
        ending = ending_of(directory)
        if ending is None:
            launched = _launched(directory)
            ours = not (directory / contract.ORDERS).exists()  # systemd sees to the groups of its units
            if ours and launched is not None and launched["boot_id"] == boot_id():
                cgroups.destroy(cgroups.adopt(launched["group"]))
            write_json(str(directory), contract.OUTCOME, {**_lost(launched)})
            ending = ending_of(directory)
    finally:
        os.close(lock)
    assert ending is not None  # noqa: S101 - written above
    return ending


def _lost(launched: Launched | None) -> Ended:
    return contract.unwatched(
        Outcome.LOST.value,
        "its supervisor ended without leaving an outcome",
        now=utc_now(),
        started=True,  # it may have
        launched_at=launched["launched_at"] if launched else "",
        enforced=tuple(launched["enforced"]) if launched else (),
    )
