"""What an execution amounts to, from what the shim saw. Pure; one rule per outcome, in order of precedence."""

import errno
import os
from typing import NamedTuple

SIGKILL = 9
SIGKILLED_EXIT = 137
DISK_FULL = "disk-full"  # how the message begins when the host had no room; in docs/operations.md


class Seen(NamedTuple):
    """Everything the shim saw of one execution."""

    program: str
    status: int  # of the program: exit code, or minus the signal
    booted: bool = False
    started: bool = False
    exit_code: int | None = None  # the workload's, as the guest's init said
    contradicted: bool = False  # it said so twice, differently
    finished: bool = False  # the guest said that it has handed out all
    failed: str | None = None  # why the guest could not be set up
    stop: str | None = None  # why the shim ended it: cancel, stalled, deadline, collect, overflow, host
    stop_reason: str = ""
    oom_kills: int = 0
    disk_failure: str = ""  # why a disk of the guest failed on the host, in the system's words
    waited_s: float = 0  # its artifacts, for room on the host's disk
    last_words: str = ""  # of the program on standard error, or of the guest's kernel
    deadline_s: float = 0


class Verdict(NamedTuple):
    """Outcome (a value of runs.states.Outcome), exit code (-1: none) and the sentence for people."""

    outcome: str
    exit_code: int
    message: str


def judge(seen: Seen) -> Verdict:  # noqa: PLR0911 - one return per rule
    """How it ended. The host's own doing comes before what the guest says of itself."""
    if seen.stop == "cancel":
        return Verdict("cancelled", -1, seen.stop_reason)
    if seen.stop == "host":
        return Verdict("host-failed", -1, seen.stop_reason)
    if seen.oom_kills and seen.exit_code in {None, SIGKILLED_EXIT}:
        return Verdict("oom-killed", -1, "the host's memory limit was reached and the kernel killed it")
    if seen.stop == "overflow":
        return Verdict("result-refused", _code(seen), seen.stop_reason)
    if seen.stop == "deadline":
        return Verdict("timeout", -1, f"still running after {seen.deadline_s:g} s")
    if seen.exit_code is not None:
        return _exited(seen)
    if not seen.started:
        return _never_started(seen)
    if seen.status != 0:
        return Verdict("host-failed", -1, f"{seen.program} {_death(seen)}{_quote(seen)}")
    return Verdict("guest-crashed", -1, f"the guest ended without an exit of its workload{_quote(seen)}")


def _exited(seen: Seen) -> Verdict:
    if seen.contradicted:
        return Verdict("guest-crashed", -1, "the guest reported two different exits")
    if seen.stop == "collect":
        return Verdict("result-refused", _code(seen), seen.stop_reason)
    if not seen.finished:
        return Verdict("result-refused", _code(seen), "the guest ended before it had handed out its artifacts")
    if seen.disk_failure and seen.exit_code != 0:
        why = f"{DISK_FULL}: " if seen.disk_failure == os.strerror(errno.ENOSPC) else ""
        words = f"{why}the host failed a disk of the guest ({seen.disk_failure}), which exited with {seen.exit_code}"
        return Verdict("host-failed", -1, words)
    return Verdict("exited", _code(seen), f"the workload exited with {seen.exit_code}{_waited(seen)}")


def _never_started(seen: Seen) -> Verdict:
    if seen.failed is not None:
        return Verdict("host-failed", -1, f"the guest could not be set up: {seen.failed}")
    how = seen.stop_reason if seen.stop == "stalled" else f"{seen.program} {_death(seen)}"
    where = "after the guest had booted" if seen.booted else "before the guest had booted"
    return Verdict("host-failed", -1, f"{how}, {where}{_quote(seen)}")


def _waited(seen: Seen) -> str:
    return f"; its artifacts waited {seen.waited_s:.0f} s for room on the host's disk" if seen.waited_s else ""


def _code(seen: Seen) -> int:
    return -1 if seen.exit_code is None else seen.exit_code


def _death(seen: Seen) -> str:
    return f"was killed by signal {-seen.status}" if seen.status < 0 else f"ended with status {seen.status}"


def _quote(seen: Seen) -> str:
    return f": {seen.last_words}" if seen.last_words else ""
