"""Which events a reader wants. Pure.

The store answers the same filter in SQL (agentplane.store.log_queries); a test holds the two together.
"""

import re
import uuid
from functools import lru_cache

from agentplane.events.model import Phase, StoredEvent
from agentplane.runs.model import Wire


class EventFilter(Wire, frozen=True, kw_only=True):
    """Events that match everything that is given. `type`, `actor`: globs (`*` any text, `?` one character)."""

    type: str | None = None
    actor: str | None = None
    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    phase: Phase | None = None
    correlation: uuid.UUID | None = None
    causes: tuple[uuid.UUID, ...] | None = None  # caused by any of these


def matches(wish: EventFilter, stored: StoredEvent) -> bool:
    """Whether an event is among the wanted ones."""
    event = stored.event
    return (
        (wish.type is None or _glob(wish.type).fullmatch(event.type) is not None)
        and (wish.actor is None or _glob(wish.actor).fullmatch(event.actor) is not None)
        and wish.kind in {None, event.stream.kind}
        and wish.namespace in {None, event.stream.namespace}
        and wish.name in {None, event.stream.name}
        and wish.phase in {None, event.phase}
        and wish.correlation in {None, event.correlation_id}
        and (wish.causes is None or event.causation_id in wish.causes)
    )


def like(glob: str) -> str:
    r"""A glob as a LIKE pattern of SQL; `%`, `_` and `\` stand for themselves."""
    escaped = re.sub(r"[\\%_]", lambda found: "\\" + found.group(), glob)
    return escaped.replace("*", "%").replace("?", "_")


@lru_cache(maxsize=64)
def _glob(glob: str) -> re.Pattern[str]:
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(each) or re.escape(each) for each in glob), re.DOTALL)
