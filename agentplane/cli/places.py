"""Places in the log as options of the command line."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from agentplane.history.places import Place
    from agentplane.history.windows import Window

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
PLACE = "a sequence number, a span before now (90m, 1d) or an ISO time"


def at_option(command: Decorated) -> Decorated:
    """Add `--at PLACE`."""
    return click.option("--at", metavar="PLACE", help=f"As it was there: {PLACE}.")(command)


def place(text: str | None, option: str | None = None) -> "Place | None":
    """A place that a person wrote, as the value of an option. Raises Refused `history.place`."""
    from agentplane.errors import Refused
    from agentplane.history.places import parse_place

    try:
        return None if text is None else parse_place(text, datetime.now(UTC))
    except Refused as error:
        raise Refused(error.message, code=error.code, where=option, hint=error.hint) from None


def window(given: dict[str, Any]) -> "Window":
    """The own times of events that `--since` and `--until` stand for. `given` keeps them.

    Raises:
        Refused: code `history.place`; also for a sequence number, which is no time.
    """
    from agentplane.errors import Refused
    from agentplane.history.windows import Window

    found: dict[str, datetime | None] = {}
    for name in ("since", "until"):
        known = place(given[name], f"--{name}")
        if known is not None and known.time is None:
            hint = "a span before now (90m, 1d12h), or a time (2026-01-31, 2026-01-31T12:00:00Z)"
            raise Refused(f"{given[name]!r} is no time", code="history.place", where=f"--{name}", hint=hint)
        found[name] = known.time if known else None
    return Window(**found)
