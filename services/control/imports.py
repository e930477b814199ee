"""Imports: batches of foreign events, decided upon what the log has under their ids, stored in one append each."""

import uuid
from datetime import datetime

from agentplane.controllers.decision import Decision
from agentplane.controllers.state import ControlState
from agentplane.domains.registry import Registry
from agentplane.events.digest import body_digest, encode_data
from agentplane.events.model import Event, StoredEvent
from agentplane.imports import admit
from agentplane.imports.model import Known
from agentplane.imports.shaping import rules_of
from services.control.runtime import Runtime


class ImportDesk:
    """Takes wishes to import. A batch that comes again finds its own report in the log."""

    def __init__(self, runtime: Runtime, registry: Registry) -> None:
        self._runtime = runtime
        self._registry = registry

    async def act(self, intent: Event) -> None:
        """Store what is new of a batch, and a report. Raises Refused, Transient."""
        tenant = intent.stream.tenant
        found = await self._runtime.store.find(*admit.lookups(intent))
        rules = rules_of(tenant, self._registry)
        known, taken = split(found, tenant)

        def decide(_: ControlState, now: datetime) -> Decision:
            return admit.decide(intent, rules, known, taken, now)

        await self._runtime.settle(decide)


def split(found: tuple[StoredEvent, ...], tenant: str) -> tuple[dict[uuid.UUID, Known], frozenset[uuid.UUID]]:
    """What of the events is the tenant's, by id, and which ids are others'."""
    known: dict[uuid.UUID, Known] = {}
    taken: set[uuid.UUID] = set()
    for stored in found:
        event = stored.event
        if event.stream.tenant != tenant:
            taken.add(event.id)
            continue
        known[event.id] = Known(
            digest=body_digest(event, encode_data(event.data)),
            stream=event.stream,
            phase=event.phase,
            type_version=event.type_version,
        )
    return known, frozenset(taken)
