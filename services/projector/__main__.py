"""`agentplane-projector --config FILE`."""

import sys

from agentplane.daemon.main import serve
from services.projector.app import run
from services.projector.config import ProjectorSettings


def main() -> int:
    """Run the projector until it is told to stop. Returns the exit status."""
    return serve("agentplane-projector", ProjectorSettings, run)


if __name__ == "__main__":
    sys.exit(main())
