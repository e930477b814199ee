"""`python -m scripts.bench STATE_DIR`: every goal beside its peer, measured in one run. A report, not a judge."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from scripts.bench import append, footprint, overhead, verify
from scripts.bench.report import Line, Unmeasured, table


def main(state_dir: Path) -> int:
    """Measure everything with a running stack in `state_dir`, then print the table."""
    sections: dict[str, Callable[[], list[Line]]] = {
        "one run against bare QEMU": lambda: overhead.measure(state_dir),
        "append": append.measure,
        "offline verification": verify.measure,
        "memory and start-up": lambda: footprint.measure(state_dir),
    }
    lines: list[Line] = []
    for name, measure in sections.items():
        print(f"  {name}", file=sys.stderr, flush=True)
        try:
            lines += measure()
        except Unmeasured as exc:
            lines.append(Line(name=name, ours="not measured", peer="-", ratio="-", goal=str(exc), met=False))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
