"""How a domain's read model is shown: `agentplane get WORD`. Pure.

The rows are those of a projection; a view names them for people, and may sum them up or add what depends on the moment
at which it is looked at, which no fold may know.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from agentplane.errors import Refused
from agentplane.projections.engine import Projection

DEFAULT_STALE_AFTER: Final = timedelta(minutes=15)
_WORD: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, kw_only=True)
class Look:
    """When somebody looks, and after how long of silence something counts as stale."""

    now: datetime
    stale_after: timedelta = DEFAULT_STALE_AFTER


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Rows summed up: one line per value of `by`, with a count of rows for each of `values` of the field `count`."""

    by: str
    count: str
    values: tuple[str, ...]
    rows: str  # what the rows are called where one group is described


@dataclass(frozen=True, kw_only=True)
class View:
    """A read model as people see it. `columns`: header and dotted path in what `present` yields."""

    plural: str  # "workitems", as people write it on the command line
    singular: str  # "workitem"
    projection: Projection
    columns: tuple[tuple[str, str], ...]
    description: str = ""
    present: Callable[[dict[str, Any], Look], dict[str, Any]] | None = None
    grouping: Grouping | None = None
    streams: str | None = None  # the kind of the streams whose events tell of a row, for `events replay` and `--kind`


def shown(view: View, row: dict[str, Any], look: Look) -> dict[str, Any]:
    """A row as people see it at a moment."""
    return view.present(row, look) if view.present is not None else row


def collect(declared: Iterable[tuple[str, Iterable[View]]], taken: Collection[str]) -> dict[str, View]:
    """All views by plural; `declared`: each domain's name and views, `taken`: words that mean something else.

    Raises:
        Refused: code `domain.invalid`.
    """
    found: dict[str, View] = {}
    words = set(taken)
    for domain, views in declared:
        for view in views:
            own = {view.singular, view.plural}
            if words & own or not all(_WORD.fullmatch(each) for each in own):
                message = f"the view {view.plural[:63]!r} is taken, or not named by lower-case words"
                raise Refused(message, code="domain.invalid", where=f"domain {domain}", hint="docs/domains.md")
            words |= own
            found[view.plural] = view
    return found
