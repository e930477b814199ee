"""What a controller answers: data, applied by the runtime. Pure."""

import msgspec

from agentplane.events.model import Append


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Events to append in one transaction, and whom to wake."""

    appends: tuple[Append, ...] = ()
    wake_executors: tuple[str, ...] = ()
    too_early: bool = False  # the input came before what it follows: show it again later


NOTHING = Decision()
TOO_EARLY = Decision(too_early=True)
