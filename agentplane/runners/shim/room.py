"""Waits for room on the host's disk, so that a full one does not cost what a guest hands out. Standard library only.

The guest keeps its files until they are taken: while the disk is full nothing more is read, and it waits as well. There
is no event for room on a disk: it is tried again. Nothing here sleeps; `Watch` does, where it also hears of orders.
"""

import errno
import os
from typing import Final

from agentplane.runners.shim.channels import FileDrain

RETRY_S: Final = 1.0


class Room:
    """The waits of one drain: whether it waits now, and how long it has waited altogether."""

    def __init__(self, drain: FileDrain, patience_s: float) -> None:
        self.patience_s = patience_s
        self.since: float | None = None
        self._drain = drain
        self._before_s = 0.0

    def waited_s(self, now: float) -> float:
        """Seconds of waiting up to `now`."""
        return self._before_s + (0.0 if self.since is None else now - self.since)

    def tried(self, now: float) -> bool:
        """Try again; True when a wait has just ended: there was room, or no more patience (the drain's `failure`)."""
        self._drain.write()
        if self.since is None and not self._drain.waiting:
            return False
        self.since = now if self.since is None else self.since
        if self._drain.waiting and self.waited_s(now) < self.patience_s:
            return False
        self.give_up(now)
        return True

    def give_up(self, now: float) -> None:
        """Wait no longer; what is not written is lost."""
        self._before_s, self.since = self.waited_s(now), None
        if self._drain.waiting:
            self._drain.fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
