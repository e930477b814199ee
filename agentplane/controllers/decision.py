"""What a controller answers: data, applied by the runtime. Pure."""

from datetime import datetime

import msgspec

from agentplane.events.model import Append


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Events to append in one transaction, and when to look again."""

    appends: tuple[Append, ...] = ()
    requeue_at: datetime | None = None  # None: nothing to wait for
    wake_executors: tuple[str, ...] = ()
    too_early: bool = False  # the input came before what it follows: show it again later


NOTHING = Decision()
TOO_EARLY = Decision(too_early=True)
