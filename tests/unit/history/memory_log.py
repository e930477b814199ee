"""The log of the query service over a list: what the SQL is held against."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from agentplane.events.model import StoredEvent
from agentplane.history.filters import EventFilter, matches
from agentplane.imports.model import Known
from agentplane.store.log_queries import Count
from services.control.imports import split


class MemoryLog:
    """`agentplane.queries.history.EventLog`; `max_page` makes pages shorter than asked for, as large data do."""

    def __init__(self, stored: Sequence[StoredEvent], *, max_page: int = 1000) -> None:
        self.stored, self.max_page = list(stored), max_page

    async def head(self) -> int:
        return self.stored[-1].sequence if self.stored else 0

    async def sequence_at(self, moment: datetime, *, inclusive: bool) -> int:
        early = [s.sequence for s in self.stored if s.recorded_at < moment or (inclusive and s.recorded_at == moment)]
        return max(early, default=0)

    async def events(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, limit: int, newest: bool = False
    ) -> tuple[tuple[StoredEvent, ...], bool]:
        found = [s for s in self._own(tenant) if after < s.sequence <= upto and matches(wish, s)]
        size = min(limit, self.max_page)
        page = found[-size:] if newest else found[:size]
        return tuple(page), len(page) < len(found)

    async def event(self, tenant: str, which: uuid.UUID | int) -> StoredEvent | None:
        return next((s for s in self._own(tenant) if which in {s.event.id, s.sequence}), None)

    async def known(self, tenant: str, ids: tuple[uuid.UUID, ...]) -> dict[uuid.UUID, Known]:
        return split(tuple(s for s in self.stored if s.event.id in ids), tenant)[0]

    async def names(
        self, tenant: str, kind: str, *, prefix: str, before: int | None, upto: int, limit: int
    ) -> tuple[tuple[str, int], ...]:
        first: dict[str, int] = {}
        for s in self._own(tenant):
            stream = s.event.stream
            if stream.kind == kind and stream.name.startswith(prefix) and s.sequence <= upto:
                first.setdefault(stream.name, s.sequence)
        found = [(name, place) for name, place in first.items() if before is None or place < before]
        return tuple(sorted(found, key=lambda each: -each[1])[:limit])

    async def count(
        self, tenant: str, wish: EventFilter, *, after: int, upto: int, by: str, limit: int
    ) -> tuple[Count, ...]:
        def value(s: StoredEvent) -> str:
            return str(getattr(s.event.stream if by in {"kind", "name"} else s.event, by))

        found = sorted((s for s in self._own(tenant) if after < s.sequence <= upto and matches(wish, s)), key=value)
        counts = [_count(each, list(group)) for each, group in groupby(found, key=value)]
        return tuple(sorted(counts, key=lambda each: (-each.count, each.value))[:limit])

    def _own(self, tenant: str) -> list[StoredEvent]:
        return [s for s in self.stored if s.event.stream.tenant == tenant]


def _count(value: str, group: list[StoredEvent]) -> Count:
    last = max(group, key=lambda s: s.sequence)
    return Count(
        value=value,
        count=len(group),
        first=min(s.sequence for s in group),
        last=last.sequence,
        last_recorded_at=last.recorded_at,
    )
