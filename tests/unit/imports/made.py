"""A small control plane that takes imports, and lines for it."""

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agentplane.domains.discovery import installed
from agentplane.events.cloudevents import encode
from agentplane.events.digest import encode_data
from agentplane.events.model import Append, Event, Phase, StoredEvent, StreamId
from agentplane.history.plain import encode_plain
from agentplane.ids import EventId
from agentplane.imports import admit
from agentplane.imports.batches import batches, request_import
from agentplane.imports.model import ImportRequested, Line
from agentplane.imports.order import Item, ordered
from agentplane.imports.reading import Format, read_line
from agentplane.imports.shaping import judge, rules_of
from agentplane.store.memory import MemoryEventStore
from services.control.imports import split

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = rules_of("acme", installed().registry)


class Clock:
    def now(self) -> datetime:
        return NOW


class Plane:
    """One tenant's log, and control's judgement about imports."""

    def __init__(self, tenant: str = "acme", store: MemoryEventStore | None = None) -> None:
        self.tenant = tenant
        self.rules = rules_of(tenant, installed().registry)
        self.store = store or MemoryEventStore(clock=Clock())
        self._imports = 0

    async def take(self, lines: Sequence[Line], *, skip: bool = False) -> list[dict[str, Any]]:
        """Import lines in the order that is defined for them; the batches' reports."""
        self._imports += 1
        import_id, reports = uuid.uuid5(uuid.NAMESPACE_OID, f"{self.tenant}/{self._imports}"), []
        for number, batch in enumerate(batches(self.in_order(lines)), start=1):
            wish = ImportRequested(lines=batch, batch=number, skip=skip)
            intent = request_import(import_id, tenant=self.tenant, actor="user:alice", now=NOW, wish=wish)
            await self.decide(intent)
            facts = await self.store.find(admit.fact_id(intent.id))
            reports.append(facts[0].event.data)
        return reports

    async def decide(self, intent: Event) -> None:
        known, taken = split(await self.store.find(*admit.lookups(intent)), self.tenant)
        decision = admit.decide(intent, self.rules, known, taken, NOW)
        if decision.appends:
            await self.store.append(*decision.appends)

    def in_order(self, lines: Sequence[Line]) -> list[Line]:
        items = [self._item(line, place) for place, line in enumerate(lines)]
        unique = {item.id: item for item in reversed(items)}
        return [lines[item.offset] for item in ordered(list(unique.values()))]

    def _item(self, line: Line, place: int) -> Item:
        judged = judge(line, self.rules, {})
        event = judged.event
        return Item(event.id, event.causation_id, event.time, line.sequence, line.number, place, 0, judged.digest)

    async def events(self) -> tuple[StoredEvent, ...]:
        """What is there but the reports."""
        return tuple(each for each in await self.store.read(0, 10_000) if each.event.stream.kind != "Import")

    async def state(self) -> list[tuple[Any, ...]]:
        """Everything that a fold may depend on, in order, but when it was recorded."""
        return [
            (e.stream, e.id, e.phase, e.type, e.actor, e.time, e.correlation_id, e.causation_id, encode_data(e.data))
            for e in (stored.event for stored in await self.events())
        ]


def lines_of(
    documents: Iterable[dict[str, Any] | bytes], form: Format = Format.AUTO, tenant: str = "acme"
) -> list[Line]:
    raws = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in documents)
    return [read_line(raw, number, form, tenant=tenant) for number, raw in enumerate(raws, start=1)]


def exported(events: Iterable[StoredEvent]) -> list[Line]:
    return lines_of([encode(each) for each in events], Format.CLOUDEVENTS)


def exported_plain(events: Iterable[StoredEvent]) -> list[Line]:
    return lines_of([encode_plain(each) for each in events], Format.PLAIN)


def flat(number: int, type_: str = "bead.created", *, seconds: int | None = None, **data: Any) -> dict[str, Any]:
    moment = NOW - timedelta(days=1) + timedelta(seconds=number if seconds is None else seconds)
    return {
        "event_id": f"evt-{number:04d}",
        "event_type": type_,
        "timestamp": moment.isoformat(),
        "actor": "mayor",
        "correlation_id": "conv-1",
        "data": {"bead_id": f"gt-{number % 3}", "title": "A title", "priority": 2, **data},
    }


def native(number: int, type_: str = "run.placed", *, tenant: str = "acme", **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": EventId(uuid.uuid5(uuid.NAMESPACE_OID, f"native/{number}")),
        "stream": StreamId(tenant, "Run", "default", f"run-{number % 2}"),
        "phase": Phase.FACT,
        "type": type_,
        "actor": "controller:runs",
        "time": NOW - timedelta(seconds=number % 5),  # never an order
        "correlation_id": uuid.uuid5(uuid.NAMESPACE_OID, "correlation"),
        "causation_id": uuid.uuid5(uuid.NAMESPACE_OID, f"native/{number - 1}") if number > 1 else None,
        "data": {"n": number},
    }
    return Event(**{**fields, **changes})


async def record(store: MemoryEventStore, *events: Event) -> tuple[StoredEvent, ...]:
    return await store.append(*(Append(stream=e.stream, expected_version=None, events=(e,)) for e in events))
