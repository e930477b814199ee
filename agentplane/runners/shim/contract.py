"""What the launcher tells the shim (launch.json), and what the shim leaves behind. No secret is in any of it.

Secrets follow on the shim's standard input: for each name, in order, 4 bytes of length (big-endian) and the bytes.
The shim answers one line on standard output when the program runs (`{}`), or why it does not (`{"error": …}`).
In a guest unit both are the executor's connection, and GREETING comes first, with two descriptors: of the launch
directory, and of the file for the shim's own standard error. See runners.activation and runners.shim.unit.
"""

from typing import Final, NotRequired, TypedDict

GREETING: Final = b"agentplane launch 1\n"
LAUNCH: Final = "launch.json"
LAUNCHED: Final = "launched.json"  # the program runs: Launched
OUTCOME: Final = "outcome.json"  # all is over: Ended
CANCEL: Final = "cancel.json"  # why it is about to be told to end: {"reason": …}
ORDERS: Final = "orders"  # in a guest unit only: a pipe by which another user than its own tells it to end
LOCK: Final = "lock"  # flock held by the shim as long as it lives
EVENTS: Final = "events.jsonl"
CONSOLE: Final = "console.log"
SERIAL: Final = "serial.log"
HOST: Final = "host.log"  # what the program itself said on standard error
RESULT: Final = "result.tar"
SHIM_LOG: Final = "shim.log"


class Channel(TypedDict):
    """One stream of the program, drained into a file."""

    name: str  # console, events, result, serial, host, monitor
    fds: list[int]  # under which the program inherits its end
    pipe: bool  # a pipe, which a process may reopen; else a socket, as QEMU wants
    cap_bytes: int


class Users(TypedDict):
    """The numeric users from which one is taken for this program alone, by a lock in `slots`."""

    first: int
    count: int
    slots: str
    groups: list[int]


class Limits(TypedDict):
    """What the control group allows; see agentplane.runners.cgroups."""

    group: str
    memory_bytes: int
    cpu_percent: int
    pids: int


class Launch(TypedDict):
    """All that one shim needs to know."""

    run: str
    tenant: str
    epoch: int
    attempt: int
    argv: list[str]
    environment: dict[str, str]
    channels: list[Channel]
    files: dict[str, str]  # descriptor number -> text that the program finds there
    secrets: list[tuple[str, int]]  # name, descriptor number
    scratch: tuple[int, int] | None  # descriptor number, bytes
    users: Users | None  # None: the shim's own
    limits: Limits | None  # None: not wanted
    boot_timeout_s: float  # until the workload starts
    deadline_s: float  # of the workload
    collect_timeout_s: float  # for handing out the artifacts
    room_timeout_s: NotRequired[float]  # for room on a full disk, while the guest keeps its artifacts; else none
    stop_timeout_s: float  # between asking the program to end and killing it


class Launched(TypedDict):
    """The program runs."""

    shim_pid: int
    shim_start: int  # clock ticks since boot: with the pid, an identity
    program_pid: int
    program_start: int
    boot_id: str
    uid: int
    launched_at: str
    enforced: list[str]  # limits that bite: memory, swap, cpu, pids
    group: list[str]  # directories of the control group


class Ended(TypedDict):
    """How it ended."""

    outcome: str  # a value of agentplane.runs.states.Outcome
    exit_code: int  # -1: none
    message: str
    started: bool  # the workload began to run; if not, the same epoch may be launched once more
    stalled: bool  # the guest never got that far
    launched_at: str
    ended_at: str
    timings_ms: dict[str, int]  # booted, started, exited, finished, ended: since launch
    truncated: list[str]  # channels that said more than their cap
    received_bytes: dict[str, int]
    result_complete: bool
    memory_peak_bytes: int
    cpu_ms: int
    enforced: list[str]


def unwatched(
    outcome: str, message: str, *, now: str, started: bool, launched_at: str = "", enforced: tuple[str, ...] = ()
) -> Ended:
    """The ending of a program that no shim watched to its end: nothing was measured, and nothing came out of it."""
    return {
        "outcome": outcome,
        "exit_code": -1,
        "message": message,
        "started": started,
        "stalled": False,
        "launched_at": launched_at or now,
        "ended_at": now,
        "timings_ms": {},
        "truncated": [],
        "received_bytes": {},
        "result_complete": False,
        "memory_peak_bytes": 0,
        "cpu_ms": 0,
        "enforced": list(enforced),
    }
