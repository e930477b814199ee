"""Entry point of `agentplane-guest`, what systemd starts for one guest: agentplane-guest@ and agentplane-process@.

systemd accepts the executor's connection and makes it standard input and output. No name of a file comes over it:
the launch directory is a descriptor, the only way to it in this unit's view of the host, and it is closed in what
runs here. Whoever can connect may run something: the socket's mode says who that is (agentplane-guest.socket).
"""

import ctypes
import os
import signal
import socket
import stat
import sys
from typing import Final

from agentplane.runners.shim import contract
from agentplane.runners.shim.supervise import heed_signals, supervise, told

_PATIENCE_S: Final = 20.0
_PR_SET_DUMPABLE: Final = 4


def main() -> int:
    """Serve one connection: one launch.json to its outcome.json. Returns the exit status."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        log, orders = _enter()
    except EOFError:
        return 0
    except (OSError, ValueError) as exc:
        sys.stderr.write(f"agentplane-guest: {exc}\n")
        return told(str(exc))
    os.dup2(log, 2)
    os.close(log)
    _close_to_its_own_user()
    heed_signals(orders)
    return told(supervise(".", sys.stdin.buffer, orders))


def _enter() -> tuple[int, int]:
    """Go into the launch directory that was handed over; the descriptors of the log and of the orders."""
    directory, log = _greeted()
    if not stat.S_ISDIR(os.fstat(directory).st_mode):
        raise ValueError("what was handed over is no directory")
    os.fchdir(directory)
    os.close(directory)
    orders = os.open(contract.ORDERS, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(orders).st_mode):
        raise ValueError(f"{contract.ORDERS} is no pipe")
    return log, orders


def _greeted() -> tuple[int, int]:
    """The two descriptors of the greeting. Raises ValueError, OSError; EOFError: there was none."""
    try:
        link = socket.socket(fileno=os.dup(0))
    except OSError as exc:
        raise ValueError("standard input is no socket: systemd starts this, through agentplane-guest.socket") from exc
    with link:
        link.settimeout(_PATIENCE_S)
        said, given, _, _ = socket.recv_fds(link, len(contract.GREETING), 2, socket.MSG_CMSG_CLOEXEC)
        link.settimeout(None)  # of the connection, which standard input is as well
    if not said:
        raise EOFError  # somebody wanted to know whether there is such a unit
    if said != contract.GREETING or len(given) != 2:  # noqa: PLR2004 - directory and log
        raise ValueError("the connection brought no launch")
    return given[0], given[1]


def _close_to_its_own_user() -> None:
    """The guest's program has the same user: it must not find a way here through /proc, nor by ptrace."""
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
