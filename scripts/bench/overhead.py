"""What the control plane costs: a whole `agentplane run --wait` against bare QEMU with the very same arguments.

The bare machine gets the argv that the runner used last (its launch.json), sockets and files at the same descriptors,
and somebody who reads them and answers the guest's last word. It has no user or control group of its own.

A guest's own life varies by more than what is looked for. So both are started one right after the other, first the one
and then the other in turn, and each pair gives a difference: what is shown is their median, and between which
quartiles they lie. Beside it stands what does not depend on the guest, and whether guests live longer when governed.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

from scripts.bench.report import Line, Unmeasured

ROUNDS = 15
LIMIT_S, AIM_S = 0.4, 0.2
BUNDLE = Path(__file__).parents[2] / "bundles" / "noop"
FIRST_FREE_FD = 100


class Pair(NamedTuple):
    """One run of each, in seconds. `guest_s`, `bare_guest_s`: of it, from QEMU's start to its end."""

    ours_s: float
    guest_s: float
    bare_s: float
    bare_guest_s: float


def measure(state_dir: Path) -> list[Line]:
    """Pairs on a warm stack, interleaved."""
    _governed(state_dir)  # builds the guest if nobody has, and tells its arguments
    launch = _newest(state_dir, "launch.json")
    pairs = [_pair(state_dir, launch, ours_first=number % 2 == 0) for number in range(ROUNDS)]
    overhead = [pair.ours_s - pair.bare_s for pair in pairs]
    return [
        Line(
            name="one run: agentplane run --wait",
            ours=f"{median(pair.ours_s for pair in pairs):.2f} s",
            peer=f"{median(pair.bare_s for pair in pairs):.2f} s bare QEMU",
            ratio=_spread(overhead),
            goal=f"<= +{LIMIT_S} s (aim +{AIM_S})",
            met=median(overhead) <= LIMIT_S,
        ),
        _compared(
            "one run: all but its guest",
            [pair.ours_s - pair.guest_s for pair in pairs],
            [pair.bare_s - pair.bare_guest_s for pair in pairs],
        ),
        _compared("one run: its guest", [pair.guest_s for pair in pairs], [pair.bare_guest_s for pair in pairs]),
    ]


def _pair(state_dir: Path, launch: dict[str, Any], *, ours_first: bool) -> Pair:
    if ours_first:
        ours_s = _governed(state_dir)
        return Pair(ours_s, _guest_s(state_dir), *_bare(launch))
    bare = _bare(launch)
    ours_s = _governed(state_dir)
    return Pair(ours_s, _guest_s(state_dir), *bare)


def _compared(name: str, ours: Sequence[float], bare: Sequence[float]) -> Line:
    return Line(
        name=name,
        ours=f"{median(ours):.2f} s",
        peer=f"{median(bare):.2f} s bare QEMU",
        ratio=_spread([one - other for one, other in zip(ours, bare, strict=True)]),
        goal="-",
        met=None,
    )


def _spread(differences: Sequence[float]) -> str:
    low, middle, high = quantiles(differences, n=4)
    return f"{middle:+.2f} s ({low:+.2f} to {high:+.2f})"


def _governed(state_dir: Path) -> float:
    argv = [
        str(Path(sys.executable).parent / "agentplane"),
        "--state-dir",
        str(state_dir),
        "run",
        str(BUNDLE),
        "--wait",
    ]
    started = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, check=False)
    elapsed = time.perf_counter() - started
    if done.returncode != 0:
        raise Unmeasured(f"the run failed: {done.stderr.decode().splitlines()[-1]}")
    return elapsed


def _newest(state_dir: Path, name: str) -> dict[str, Any]:
    found = max(state_dir.glob(f"executor/runs/*/noop-*/*/shim/launch-*/{name}"), key=lambda path: path.stat().st_mtime)
    document: dict[str, Any] = json.loads(found.read_bytes())
    return document


def _guest_s(state_dir: Path) -> float:
    """How long the newest QEMU lived: from the moment that its shim had started it until the shim saw its end."""
    started, outcome = _newest(state_dir, "launched.json")["launched_at"], _newest(state_dir, "outcome.json")
    until_watched = datetime.fromisoformat(outcome["launched_at"]) - datetime.fromisoformat(started)
    return until_watched.total_seconds() + float(outcome["timings_ms"]["ended"]) / 1000


def _bare(launch: dict[str, Any]) -> tuple[float, float]:
    """Start QEMU as one would by hand, and wait for its end. Answers seconds: all of it, and QEMU's own life."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        given, ours = _descriptors(launch, directory)
        readers = [threading.Thread(target=_drain, args=each) for each in ours.items()]
        pid = os.fork()
        if pid == 0:
            _become(launch["argv"], given)
        forked = time.perf_counter()
        for fd in given.values():
            os.close(fd)
        for reader in readers:
            reader.start()
        _, status = os.waitpid(pid, 0)
        ended = time.perf_counter()
        for reader in readers:
            reader.join()
    if os.waitstatus_to_exitcode(status) != 0:
        raise Unmeasured(f"bare QEMU ended with status {os.waitstatus_to_exitcode(status)}")
    return ended - started, ended - forked


def _descriptors(launch: dict[str, Any], directory: str) -> tuple[dict[int, int], dict[str, socket.socket]]:
    """Descriptors to give, by number, and our ends of the sockets, by channel."""
    given: dict[int, int] = {}
    ours: dict[str, socket.socket] = {}
    for channel in launch["channels"]:
        if not channel["pipe"]:
            ours[channel["name"]], theirs = socket.socketpair()
            given[channel["fds"][0]] = theirs.detach()
    for number, text in launch["files"].items():
        given[int(number)] = os.memfd_create("config")
        os.write(given[int(number)], text.encode())
    number, size = launch["scratch"]
    given[number] = os.open(directory, os.O_RDWR | os.O_TMPFILE)
    os.ftruncate(given[number], size)
    return given, ours


def _become(argv: list[str], given: dict[int, int]) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    high = {number: os.dup2(fd, FIRST_FREE_FD + number, inheritable=False) for number, fd in given.items()}
    for number, fd in {**high, 0: null, 1: null, 2: null}.items():
        os.dup2(fd, number)
    os.execv(argv[0], argv)  # noqa: S606 - that is the point


def _drain(name: str, end: socket.socket) -> None:
    with end:
        if name == "monitor":
            end.sendall(b'{"execute":"qmp_capabilities"}\n')
        while data := _received(end):
            if name == "events" and b'"finished"' in data:
                end.sendall(b"taken\n")


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(1 << 16)
    except ConnectionResetError:  # it has gone without reading what we said
        return b""
