"""Whether the database and we work in turns or at once.

In turns: everything that waits is one batch, and while it is committed the callers wait. Few commits; right where a
commit is slow. At once: half of the calls are committed while the callers of the other half go on. Twice the commits,
but both sides work; right where we need as long for a batch as the database does. Which it is shows in the share of
the time in which this thread has worked.
"""

import time
from collections.abc import Callable
from typing import Final

MIN_CALLS: Final = 16  # fewer are not worth two commits
BUSY: Final = 0.4  # of the time; see `Pace.committed`
_WEIGHT: Final = 0.1  # of the newest batch in the average


class Pace:
    """Watches batches go by. Wall and thread clocks are arguments so that tests need no time."""

    def __init__(
        self, wall: Callable[[], float] = time.perf_counter, worked: Callable[[], float] = time.thread_time
    ) -> None:
        """Both clocks in seconds."""
        self._wall, self._worked = wall, worked
        self._since: tuple[float, float] | None = None
        self._busy = 0.0
        self._calls = 0

    @property
    def overlaps(self) -> bool:
        """Whether the next batch goes out before the callers of the last one are answered."""
        return self._busy >= BUSY and self._calls >= MIN_CALLS

    def share(self, waiting: int, settled: int) -> int:
        """How many of the waiting calls go into the next batch; `settled` ones are expected back."""
        self._calls = waiting + settled
        return -(-self._calls // 2) if self.overlaps else waiting

    def committed(self) -> None:
        """One batch after the other, without a pause: see who was busy.

        With client work C, a commit's fixed costs F and the server's work S per round of all callers, turns take
        C + F + S and overlapping takes max(C, 2 F + S). The latter is less if F < C; S is about two thirds of C, so
        that is a busy share of C / (C + F + S) > 3/8 in turns.
        """
        wall, worked = self._wall(), self._worked()
        if self._since is not None and wall > self._since[0]:
            busy = (worked - self._since[1]) / (wall - self._since[0])
            self._busy += (busy - self._busy) * _WEIGHT
        self._since = (wall, worked)

    def paused(self) -> None:
        """There was nothing to do: that says nothing about who is slow."""
        self._since = None
