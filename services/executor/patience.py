"""How long an attempt waits for caches that are away before control hears of it. Pure: times are arguments."""

from agentplane.errors import Transient


class Patience:
    """Counts from the first time that a cache was away. Other delays (a full disk of the journal) are waited out."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def spent(self, error: Transient, now: float) -> bool:
        """Whether it is over. `now`: monotonic, seconds."""
        if not error.code.startswith("cache."):
            return False
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds
