"""Entry point of the shim: `python -I -S __main__.py DIRECTORY`, started by agentplane.runners.launch only."""

import json
import os
import signal
import sys


def main() -> int:
    """Run one launch.json to its outcome.json."""
    # Last: whatever lies beside the package must not stand in for the standard library.
    sys.path.append(os.path.abspath(os.path.join(os.path.dirname(__file__), *([os.pardir] * 3))))
    from agentplane.runners.shim.supervise import supervise  # noqa: PLC0415 - not on the path before this line

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    failure = supervise(sys.argv[1], sys.stdin.buffer, reading)
    if failure is not None:
        sys.stdout.write(json.dumps({"error": failure}) + "\n")
        sys.stdout.flush()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
