"""`agentplane-executor --config FILE [--check-config]`."""

import sys

from agentplane.daemon.main import serve
from services.executor.config import ExecutorSettings


def main() -> int:
    """Run the executor; the exit status is that of agentplane.errors."""
    from services.executor.app import run  # noqa: PLC0415 - --check-config needs none of it

    return serve("agentplane-executor", ExecutorSettings, run)


if __name__ == "__main__":
    sys.exit(main())
