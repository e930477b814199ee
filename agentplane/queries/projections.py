"""Answers about the read models themselves: how they do, and building them again."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from msgspec.structs import replace

from agentplane.errors import Denied
from agentplane.events.upcasting import NEWER
from agentplane.projections.status import Poison, Rebuilt, Status
from agentplane.queries import protocol as wire
from agentplane.queries.history import EventLog
from agentplane.queries.paging import question
from agentplane.runs.executors import SYSTEM_TENANT

_FOREIGN: Final = "it is not of your tenant; the projector's log says why"

Rebuild = Callable[[str | None], Awaitable[tuple[Rebuilt, ...]]]


class Checkpoints(Protocol):
    """What the answers are read from; agentplane.store.versioned.TenantReader."""

    async def status(self) -> tuple[Status, ...]:
        """How the projections do."""
        ...


class ProjectionAnswers:
    """The query service's answers about projections."""

    def __init__(self, views: Checkpoints, log: EventLog, rebuild: Rebuild) -> None:
        self._views, self._log, self._rebuild = views, log, rebuild

    async def status(self, tenant: str, data: bytes) -> wire.ProjectionsPage:
        """How they do."""
        question(data, wire.ProjectionsStatus)
        found = await self._views.status()
        return wire.ProjectionsPage(projections=tuple([await self.as_told(tenant, each) for each in found]))

    async def rebuild(self, tenant: str, data: bytes) -> wire.RebuildPage:
        """For operators: it folds the log of all tenants. Raises Denied, code `query.operator`."""
        if tenant != SYSTEM_TENANT:
            raise Denied(
                "only operators may have the read models built again",
                code="query.operator",
                hint="use the key of a person with `operator`; an older command line asks as a tenant: upgrade it",
            )
        return wire.RebuildPage(rebuilt=await self._rebuild(question(data, wire.ProjectionsRebuild).projection))

    async def as_told(self, tenant: str, status: Status) -> Status:
        """What stopped a projection is told to whom the event belongs; to others only that it stopped, and where."""
        poison, building = await self._poison(tenant, status.poison), status.building
        if building is not None:
            building = replace(building, poison=await self._poison(tenant, building.poison))
        return replace(status, poison=poison, building=building)

    async def _poison(self, tenant: str, poison: Poison | None) -> Poison | None:
        if poison is None or await self._log.event(tenant, poison.sequence) is not None:
            return poison
        return replace(poison, event_id="", reason=f"{NEWER}: {_FOREIGN}" if poison.waits else _FOREIGN)
