"""What the control plane costs: a whole `agentplane run --wait` against bare QEMU with the very same arguments.

The bare machine gets the argv that the runner used last (its launch.json), sockets and files at the same descriptors,
and somebody who reads them and answers the guest's last word. It has no user or control group of its own.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from scripts.bench.report import Line, Unmeasured

ROUNDS = 7
LIMIT_S, AIM_S = 0.4, 0.2
BUNDLE = Path(__file__).parents[2] / "bundles" / "noop"
FIRST_FREE_FD = 100


def measure(state_dir: Path) -> list[Line]:
    """Interleaved rounds on a warm stack; the difference of the medians."""
    _governed(state_dir)  # builds the guest if nobody has, and tells its arguments
    launch = _last_launch(state_dir)
    rows = [(_governed(state_dir), _bare(launch), _guest_s(state_dir)) for _ in range(ROUNDS)]
    ours, bare, _ = (median(column) for column in zip(*rows, strict=True))
    return [
        Line(
            name="one run: agentplane run --wait",
            ours=f"{ours:.2f} s",
            peer=f"{bare:.2f} s bare QEMU",
            ratio=f"{ours - bare:+.2f} s",
            goal=f"<= +{LIMIT_S} s (aim +{AIM_S})",
            met=ours - bare <= LIMIT_S,
        ),
        _outside(rows),
    ]


def _outside(rows: list[tuple[float, float, float]]) -> Line:
    """Less noisy, as the guest cancels out: everything of a run but QEMU's own lifetime in that run."""
    outside = median(ours - guest for ours, _, guest in rows)
    guest = median(row[2] for row in rows)
    return Line(
        name="one run: all but its guest",
        ours=f"{outside:.2f} s",
        peer=f"{guest:.2f} s its guest",
        ratio=f"{outside / guest:.2f}",
        goal="-",
        met=None,
    )


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


def _last_launch(state_dir: Path) -> dict[str, Any]:
    return _newest(state_dir, "launch.json")


def _guest_s(state_dir: Path) -> float:
    return float(_newest(state_dir, "outcome.json")["timings_ms"]["ended"]) / 1000


def _bare(launch: dict[str, Any]) -> float:
    """Start QEMU as one would by hand, and wait for its end."""
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        given, ours = _descriptors(launch, directory)
        readers = [threading.Thread(target=_drain, args=each) for each in ours.items()]
        pid = os.fork()
        if pid == 0:
            _become(launch["argv"], given)
        for fd in given.values():
            os.close(fd)
        for reader in readers:
            reader.start()
        _, status = os.waitpid(pid, 0)
        elapsed = time.perf_counter() - started
        for reader in readers:
            reader.join()
    if os.waitstatus_to_exitcode(status) != 0:
        raise Unmeasured(f"bare QEMU ended with status {os.waitstatus_to_exitcode(status)}")
    return elapsed


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
