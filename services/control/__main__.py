"""`agentplane-control --config FILE`."""

import sys

from agentplane.daemon.main import serve
from services.control.app import run
from services.control.config import ControlSettings


def main() -> int:
    """Run the control daemon until it is told to stop. Returns the exit status."""
    return serve("agentplane-control", ControlSettings, run)


if __name__ == "__main__":
    sys.exit(main())
