"""What the log has under ids that an importer is about to use: digests, so that it can say what would follow.

Only the asking tenant's events are known; another tenant's are as unknown as those that never were.
"""

import uuid
from typing import Final, Protocol

from agentplane.errors import Refused
from agentplane.events.model import Phase, StreamId
from agentplane.imports.model import Known
from agentplane.ports import Bus
from agentplane.queries.asking import ask
from agentplane.queries.paging import question
from agentplane.runs.model import Wire

EVENTS_KNOWN: Final = "events-known"
MAX_IDS: Final = 1200  # a question has at most 64 KiB


class EventsKnown(Wire, frozen=True, kw_only=True):
    """Which of these ids the log has."""

    ids: tuple[uuid.UUID, ...]


class KnownEvent(Wire, frozen=True, kw_only=True):
    """One that it has."""

    id: uuid.UUID
    digest: bytes
    kind: str
    namespace: str
    name: str
    phase: Phase
    type_version: int


class KnownPage(Wire, frozen=True, kw_only=True):
    """All that it has of the ids."""

    events: tuple[KnownEvent, ...]


class DigestLog(Protocol):
    """agentplane.store.log_queries.LogQueries."""

    async def known(self, tenant: str, ids: tuple[uuid.UUID, ...]) -> dict[uuid.UUID, Known]:
        """What a tenant's log has under ids."""
        ...


class ImportAnswers:
    """Answers to importers."""

    def __init__(self, log: DigestLog) -> None:
        self._log = log

    async def known(self, tenant: str, data: bytes) -> KnownPage:
        """Which ids the tenant's log has. Raises Refused `query.limit`."""
        ids = question(data, EventsKnown).ids
        if len(ids) > MAX_IDS:
            raise Refused(f"{len(ids)} ids at once; at most {MAX_IDS}", code="query.limit")
        found = await self._log.known(tenant, ids)
        return KnownPage(events=tuple(_row(id_, each) for id_, each in found.items()))


class ImportClient:
    """An importer's questions, of one tenant."""

    def __init__(self, bus: Bus, tenant: str, *, timeout_s: float = 30.0) -> None:
        self._bus = bus
        self._tenant = tenant
        self._timeout_s = timeout_s

    async def known(self, ids: tuple[uuid.UUID, ...]) -> dict[uuid.UUID, Known]:
        """What the log has under ids, however many. Raises what the service raised, or Transient."""
        found: dict[uuid.UUID, Known] = {}
        for start in range(0, len(ids), MAX_IDS):
            wish = EventsKnown(ids=ids[start : start + MAX_IDS])
            page = await ask(self._bus, self._tenant, EVENTS_KNOWN, wish, KnownPage, timeout_s=self._timeout_s)
            found |= {each.id: _known(each, self._tenant) for each in page.events}
        return found


def _row(id_: uuid.UUID, known: Known) -> KnownEvent:
    stream = known.stream
    return KnownEvent(
        id=id_,
        digest=known.digest,
        kind=stream.kind,
        namespace=stream.namespace,
        name=stream.name,
        phase=known.phase,
        type_version=known.type_version,
    )


def _known(each: KnownEvent, tenant: str) -> Known:
    stream = StreamId(tenant, each.kind, each.namespace, each.name)
    return Known(digest=each.digest, stream=stream, phase=each.phase, type_version=each.type_version)
