"""Hearing what answers say of the read models they are from, wherever in a program the question is asked. Pure.

Notices (agentplane.projections.notices) come beside answers and change nothing of them: who does not listen loses none.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[bytes], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told the notices of every answer meanwhile, as a JSON array."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(notices: bytes) -> None:
    """Pass on the notices of one answer; b"": it has none."""
    listener = _listener.get()
    if notices and listener is not None:
        listener(notices)
