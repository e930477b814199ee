"""Entry point of the shim: `python -I -S __main__.py DIRECTORY`, started by agentplane.runners.launch only."""

import os
import sys


def main() -> int:
    """Run one launch.json to its outcome.json."""
    # Last: whatever lies beside the package must not stand in for the standard library.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *([os.pardir] * 3))))
    from agentplane.runners.shim.supervise import (  # noqa: PLC0415 - not on the path before
        heed_signals,
        supervise,
        told,
    )

    os.umask(0o077)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    heed_signals(writing)
    return told(supervise(sys.argv[1], sys.stdin.buffer, reading))


if __name__ == "__main__":
    sys.exit(main())
