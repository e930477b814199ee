"""Memory of the idle daemons, and how long it takes until `--help` is there."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from scripts.bench.report import Line, Unmeasured, at_most

ROUNDS = 15
LIMIT_MIB = 120
GOAL = 3.0


def measure(state_dir: Path) -> list[Line]:
    """Every process of the stack, then the command line."""
    agentplane = str(Path(sys.executable).parent / "agentplane")
    status = subprocess.run(
        [agentplane, "--state-dir", str(state_dir), "stack", "status", "-o", "json"], capture_output=True, check=True
    )
    lines = [
        at_most(f"memory, idle: {each['name']}", _resident_mib(each["pid"]), LIMIT_MIB, "MiB")
        for each in json.loads(status.stdout)
    ]
    return [*lines, _start_up(agentplane)]


def _resident_mib(pid: int) -> float:
    """Resident set; of a program with children (PostgreSQL) its share of what all of them hold."""
    family = [pid, *_children(pid)]
    key = "Rss:" if len(family) == 1 else "Pss:"
    return sum(_kib(each, key) for each in family) / 1024


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _kib(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    raise Unmeasured(f"/proc/{pid}/smaps_rollup says no {key}")


def _start_up(agentplane: str) -> Line:
    rows = [(_timed([agentplane, "--help"]), _timed([sys.executable, "-c", "import click"])) for _ in range(ROUNDS)]
    ours, click = (median(column) for column in zip(*rows, strict=True))
    return Line(
        name="agentplane --help",
        ours=f"{ours * 1000:.0f} ms",
        peer=f"{click * 1000:.0f} ms import click",
        ratio=f"{ours / click:.2f}x",
        goal=f"<= {GOAL:.0f}x",
        met=ours <= GOAL * click,
    )


def _timed(argv: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return time.perf_counter() - started
