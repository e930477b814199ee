"""What an answer from a read model says of the read model itself, where that is not simply live. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from agentplane.projections.status import State, Status, words
from agentplane.runs.model import Wire

_QUIET: Final = {State.LIVE, State.REBUILDING}  # what is served is whole
OUTDATED: Final = "query.outdated"  # the error of a query service that cannot read a newer release's rows
_asked: ContextVar[set[str] | None] = ContextVar("consulted", default=None)


class Notice(Wire, frozen=True, kw_only=True):
    """Why an answer may be older than the log, or not whole. `percent`: of an upgrade."""

    projection: str
    state: State
    message: str
    version: int  # of the rows that answered
    position: int  # the last event that is in them
    lag: int  # events
    lag_s: float
    percent: int | None = None


def notice_of(status: Status) -> Notice | None:
    """What to say about a read model; None: nothing."""
    if status.state in _QUIET:
        return None
    return Notice(
        projection=status.projection,
        state=status.state,
        message=words(status),
        version=status.version,
        position=status.position,
        lag=status.lag,
        lag_s=status.lag_s,
        percent=None if status.building is None else status.building.percent,
    )


@contextmanager
def consulted() -> Iterator[set[str]]:
    """Fill a set with the names of the projections that are read meanwhile, by this task."""
    names: set[str] = set()
    token = _asked.set(names)
    try:
        yield names
    finally:
        _asked.reset(token)


def consult(projection: str) -> None:
    """Say that a projection's rows are read."""
    names = _asked.get()
    if names is not None:
        names.add(projection)
