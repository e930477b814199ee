"""The story of three hosts: joining, runs on each, cables pulled, daemons killed, upgrades, restore. As root.

    python -m tests.units.hosts.story DEBIAN OUT [quick]

Started by scripts/testbed.sh in namespaces of its own. Ends at the first thing that is not as it should be, says which,
and leaves the journals of all machines in OUT.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.units.hosts import daytwo, joining, outages
from tests.units.hosts.fleet import Fleet
from tests.units.hosts.machines import Wrong, say

Step = Callable[[Fleet], None]
QUICK: tuple[Step, ...] = joining.STEPS
FULL: tuple[Step, ...] = (*QUICK, *daytwo.STEPS, *outages.STEPS)


def main(argv: list[str]) -> int:
    """0: all of it came out well; 1: something is wrong."""
    debian, out = Path(argv[0]), Path(argv[1])
    work = out / "machines"
    work.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(work)], check=True)
    signal.signal(signal.SIGTERM, _told_to_end)
    fleet = Fleet(debian, work, group=out.name)
    try:
        tell(fleet.boot, "three machines boot")
        for step in QUICK if argv[2:] == ["quick"] else FULL:
            tell(lambda step=step: step(fleet), (step.__doc__ or "").splitlines()[0])  # type: ignore[misc]
    except Wrong as wrong:
        say(f"WRONG: {wrong}")
        return 1
    else:
        say("== all of it")
        return 0
    finally:
        for machine in fleet.machines:
            machine.keep(out)
            machine.lose_power()


def _told_to_end(number: int, _: object) -> None:
    raise Wrong(f"told to end by {signal.Signals(number).name}")


def tell(step: Callable[[], None], words: str) -> None:
    """Do it, saying what it is and how long it took."""
    say(f"== {words}")
    began = time.monotonic()
    step()
    say(f"   {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
