"""`python -m scripts.bench STATE_DIR [--growth] [--only SECTION]`: every goal beside its peer, measured in one run.

A report, not a judge: the exit status is 0 whatever the table says.
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from scripts.bench import append, bus, endtoend, footprint, growth, overhead, reading, verify
from scripts.bench.report import Line, Unmeasured, table

Sections = dict[str, Callable[[], list[Line]]]


def main(state_dir: Path, *, grown: bool, only: str | None) -> int:
    """Measure everything with a running stack in `state_dir`, then print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sections: Sections = {
        "run": lambda: overhead.measure(state_dir),
        "endtoend": lambda: endtoend.measure(state_dir),
        "append": append.measure,
        "reading": reading.measure,
        "bus": bus.measure,
        "verify": verify.measure,
        "footprint": lambda: footprint.measure(state_dir),
    }
    if grown:
        sections["growth"] = growth.measure
    lines: list[Line] = []
    for name, measure in sections.items():
        if only not in (None, name):
            continue
        print(f"  {name}", file=sys.stderr, flush=True)
        try:
            lines += measure()
        except Unmeasured as exc:
            lines.append(Line(name=name, ours="not measured", peer="-", ratio="-", goal=str(exc), met=False))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    print(table(lines))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/bench.sh")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--growth", action="store_true", help="also measure the log at 10 k, 100 k and 1 M events")
    parser.add_argument("--only", metavar="SECTION", help="measure one section: run, endtoend, append, reading, …")
    given = parser.parse_args()
    sys.exit(main(given.state_dir, grown=given.growth, only=given.only))
