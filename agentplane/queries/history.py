"""Answers from the log itself: events, counts, and how runs and executors were at a place in it.

The tenant is the asker's, by the subject; another tenant's event is not found, whatever names it. How a thing was is
a fresh fold of its events up to that place, by the very projections that keep the read models.
"""

import re
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from agentplane.domains.resource import Resource
from agentplane.domains.work.aliases import event_uuid
from agentplane.errors import NotFound, Refused
from agentplane.events.cloudevents import encode
from agentplane.events.model import StoredEvent
from agentplane.history.filters import EventFilter
from agentplane.history.folding import folded
from agentplane.history.places import MAX_SEQUENCE, Place
from agentplane.imports.model import Known
from agentplane.projections.engine import EXECUTORS, RESOURCES, RUNS
from agentplane.projections.executors import ExecutorView
from agentplane.projections.run_view import RunSummary, RunView, summary_of
from agentplane.queries import protocol as wire
from agentplane.queries.paging import bounded, page_limit, question
from agentplane.runs.executors import KIND as EXECUTOR_KIND
from agentplane.runs.executors import SYSTEM_TENANT
from agentplane.runs.facts import RUN_KIND

_TYPE_GLOB: Final = re.compile(r"[a-z0-9_.*?-]{1,256}")
_TEXT_CHARS: Final = 512
_FOLD_PAGE: Final = 1000


class Group(Protocol):
    """A row of a count."""

    @property
    def value(self) -> str:
        """What the events have in common."""
        ...

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    @property
    def first(self) -> int:
        """Sequence of the first."""
        ...

    @property
    def last(self) -> int:
        """Sequence of the last."""
        ...

    @property
    def last_recorded_at(self) -> datetime:
        """When the last was recorded."""
        ...


class EventLog(Protocol):
    """The log as one tenant may see it; agentplane.store.log_queries.LogQueries."""

    async def head(self) -> int:
        """The last sequence."""
        ...

    async def sequence_at(self, moment: datetime, *, inclusive: bool) -> int:
        """The last sequence recorded at or before a moment."""
        ...

    async def events(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, limit: int, newest: bool = False
    ) -> tuple[tuple[StoredEvent, ...], bool]:
        """A page, bounded in items and bytes, and whether there are more."""
        ...

    async def event(self, tenant: str, which: uuid.UUID | int) -> StoredEvent | None:
        """One event."""
        ...

    async def names(
        self, tenant: str, kind: str, *, prefix: str, before: int | None, upto: int, limit: int
    ) -> tuple[tuple[str, int], ...]:
        """Names and first sequences of resources that had begun, newest first."""
        ...

    async def known(self, tenant: str, ids: tuple[uuid.UUID, ...]) -> dict[uuid.UUID, Known]:
        """Which of these ids the tenant's log has, and under which digest."""
        ...

    async def count(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, by: str, limit: int
    ) -> "tuple[Group, ...]":
        """Counts by a column."""
        ...


class HistoryAnswers:
    """Answers from the log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    async def events_list(self, tenant: str, data: bytes) -> wire.EventsPage:
        """A page of events."""
        wish = question(data, wire.EventsList)
        limit = page_limit(wish.limit)
        after, upto = await self._window(wish.since, wish.until)
        after = max(after, min(wish.after, MAX_SEQUENCE))
        found, more = await self._log.events(
            tenant, _checked(wish), after=after, upto=upto, limit=limit, newest=wish.newest
        )
        if wish.newest:
            kept = bounded([msgspec.Raw(encode(stored)) for stored in reversed(found)])[::-1]
            return wire.EventsPage(events=kept, next=None, seen=upto, older=more or len(kept) < len(found))
        page = bounded([msgspec.Raw(encode(stored)) for stored in found])
        more = more or len(page) < len(found)
        return wire.EventsPage(events=page, next=found[len(page) - 1].sequence if more and page else None, seen=upto)

    async def events_get(self, tenant: str, data: bytes) -> msgspec.Raw:
        """One event."""
        given = question(data, wire.EventGet).event
        which = _which(given)
        found = None if which is None else await self._log.event(tenant, which)
        if found is None and not isinstance(which, int):  # an id as its source had it
            found = await self._log.event(tenant, event_uuid(tenant, given))
        if found is None:
            raise NotFound(f"no event {given[:80]!r}", code="event.unknown", hint="`agentplane events list` lists them")
        return msgspec.Raw(encode(found))

    async def events_stats(self, tenant: str, data: bytes) -> wire.EventsGroups:
        """Counts."""
        wish = question(data, wire.EventsStats)
        after, upto = await self._window(wish.since, wish.until)
        found = await self._log.count(
            tenant, _checked(wish), after=after, upto=upto, by=wish.by, limit=page_limit(wish.limit)
        )
        return wire.EventsGroups(
            groups=bounded(
                wire.EventsGroup(
                    value=each.value,
                    count=each.count,
                    first=each.first,
                    last=each.last,
                    last_recorded_at=each.last_recorded_at,
                )
                for each in found
            )
        )

    async def runs_at(self, tenant: str, wish: wire.RunsList, at: Place) -> wire.RunsPage:
        """Summaries of runs as they were, newest first."""
        limit, upto = page_limit(wish.limit), await self._upto(at)
        found: list[RunSummary] = []
        before = wish.before
        while names := await self._log.names(tenant, RUN_KIND, prefix="", before=before, upto=upto, limit=limit + 1):
            for name, before in names:  # noqa: B007 - where the next page of names begins
                view = await self._run(tenant, name, upto)
                if view is not None and _wanted(view, wish):
                    found.append(summary_of(view))
                if len(found) > limit:
                    page = bounded(found[:limit])
                    return wire.RunsPage(runs=page, next=page[-1].first_sequence)
        page = bounded(found)
        return wire.RunsPage(runs=page, next=page[-1].first_sequence if len(page) < len(found) else None)

    async def run_at(
        self, tenant: str, prefix: str, at: Place, candidates: int
    ) -> tuple[tuple[str, ...], RunView | None]:
        """Names that fitted then, at most `candidates`, and the run's view when it was one."""
        upto = await self._upto(at)
        found = await self._log.names(tenant, RUN_KIND, prefix=prefix, before=None, upto=upto, limit=candidates)
        names = tuple(name for name, _ in found)
        names = (prefix,) if prefix in names else names
        return names, await self._run(tenant, names[0], upto) if len(names) == 1 else None

    async def executors_at(self, at: Place) -> tuple[ExecutorView, ...]:
        """All executors as they were, in order of name."""
        views: dict[str, Any] = {}
        wish = EventFilter(kind=EXECUTOR_KIND)
        async for page in self._pages(SYSTEM_TENANT, wish, await self._upto(at)):
            for stored in page:
                name = stored.event.stream.name
                views[name] = folded(EXECUTORS, views.get(name), (stored,))
        return tuple(views[name] for name in sorted(views))

    async def resources_at(self, tenant: str, kind: str, at: Place, name: str | None = None) -> tuple[Resource, ...]:
        """Resources of a kind as they were, in order of namespace and name; those that had been deleted, too."""
        views: dict[tuple[str, str], Any] = {}
        async for page in self._pages(tenant, EventFilter(kind=kind, name=name), await self._upto(at)):
            for stored in page:
                key = (stored.event.stream.namespace, stored.event.stream.name)
                views[key] = folded(RESOURCES, views.get(key), (stored,))
        return tuple(views[key] for key in sorted(views) if views[key] is not None)

    async def _run(self, tenant: str, name: str, upto: int) -> RunView | None:
        view: RunView | None = None
        async for page in self._pages(tenant, EventFilter(kind=RUN_KIND, name=name), upto):
            view = folded(RUNS, view, page)
        return view

    async def _pages(self, tenant: str, wish: EventFilter, upto: int) -> AsyncIterator[tuple[StoredEvent, ...]]:
        after, more = 0, True
        while more:
            page, more = await self._log.events(tenant, wish, after=after, upto=upto, limit=_FOLD_PAGE)
            yield page
            after = page[-1].sequence if page else upto

    async def _window(self, since: Place | None, until: Place | None) -> tuple[int, int]:
        """After which sequence, and up to which: both places are inside."""
        # the head is read before the page, so whatever is at or below it has been seen
        upto = await self._log.head() if until is None else await self._upto(until)
        if since is None:
            return 0, upto
        if since.time is not None:
            return await self._log.sequence_at(since.time, inclusive=False), upto
        return max(_sequence(since) - 1, 0), upto

    async def _upto(self, at: Place) -> int:
        if at.time is not None:
            return await self._log.sequence_at(at.time, inclusive=True)
        return min(_sequence(at), await self._log.head())


def _sequence(place: Place) -> int:
    if place.sequence is None or not 0 <= place.sequence <= MAX_SEQUENCE:
        raise Refused("a place is a sequence number or a time", code="query.malformed")
    return place.sequence


def _which(given: str) -> uuid.UUID | int | None:
    if given.isascii() and given.isdigit():
        # 19 digits, as the attribute `sequence` of an event has them, or fewer
        return int(given) if len(given) <= len(str(MAX_SEQUENCE)) and int(given) <= MAX_SEQUENCE else None
    try:
        return uuid.UUID(given)
    except ValueError:
        return None


def _checked(wish: EventFilter) -> EventFilter:
    if wish.type is not None and not _TYPE_GLOB.fullmatch(wish.type):
        raise Refused(
            f"{wish.type[:80]!r} is not a pattern of event types", code="query.glob", hint="run.*, *.finished"
        )
    for value in (wish.actor, wish.kind, wish.name):
        if value is not None and (len(value) > _TEXT_CHARS or "\0" in value):
            raise Refused(f"{value[:80]!r} is nothing to look for", code="query.glob")
    return wish


def _wanted(view: RunView, wish: wire.RunsList) -> bool:
    return (
        wish.state in {None, view.state.value}
        and wish.lane in {None, view.lane}
        and wish.executor in {None, view.executor}
    )
