"""Entry point of the shim: `python -I -S __main__.py [DIRECTORY]`, started by agentplane.runners only.

Without a directory it is a spare one, and learns its directory from standard input, before the secrets.
"""

import os
import sys
from typing import BinaryIO


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
    directory = sys.argv[1] if len(sys.argv) > 1 else _learned(sys.stdin.buffer)
    if directory is None:
        return 0
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    heed_signals(writing)
    return told(supervise(directory, sys.stdin.buffer, reading))


def _learned(source: BinaryIO) -> str | None:
    """The directory that a spare shim is given, in which it keeps its log from then on; None: it was not needed."""
    size = int.from_bytes(source.read(4), "big")
    directory = os.fsdecode(source.read(size))
    if not directory:
        return None
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    log = os.open(os.path.join(directory, "shim.log"), flags, 0o600)
    os.dup2(log, 2)
    os.close(log)
    return directory


if __name__ == "__main__":
    os._exit(main())  # who waits for the outcome need not wait until the interpreter is taken apart
