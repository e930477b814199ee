"""Waiting for a rebuild, which takes as long as it takes, but not for somebody who is gone."""

import asyncio

import pytest

from agentplane.bus.memory import MemoryBus
from agentplane.errors import Denied, Transient
from agentplane.projections.status import Rebuilt
from agentplane.queries import protocol as wire
from agentplane.queries.client import QueryClient

REBUILD, STATUS = "agentplane-query.system.projections-rebuild", "agentplane-query.acme.projections-status"
FOUND = Rebuilt(projection="runs", position=1, rows=1, hash_before="a", hash_after="a", equal=True)


class Service:
    """Answers a rebuild when told to, and questions about how it goes until then."""

    def __init__(self, looks: int) -> None:
        self.enough = asyncio.Event()
        self._looks = looks

    async def rebuild(self, _: str, __: bytes) -> bytes:
        await self.enough.wait()
        return wire.answered(wire.RebuildPage(rebuilt=(FOUND,)))

    async def status(self, _: str, __: bytes) -> bytes:
        self._looks -= 1
        if self._looks <= 0:
            self.enough.set()
        return wire.answered(wire.ProjectionsPage(projections=()))


async def test_a_long_rebuild_is_waited_for_while_somebody_is_there() -> None:
    bus, service = MemoryBus(), Service(looks=5)
    await bus.respond(REBUILD, service.rebuild)
    await bus.respond(STATUS, service.status)
    assert await QueryClient(bus, "acme", look_s=0.001).rebuild("runs") == (FOUND,)
    await bus.close()


async def test_who_was_killed_meanwhile_is_not_waited_for() -> None:
    bus, service = MemoryBus(), Service(looks=5)
    await bus.respond(REBUILD, service.rebuild)  # and nobody says how it goes
    with pytest.raises(Transient) as caught:
        await QueryClient(bus, "acme", look_s=0.001).rebuild("runs")
    assert caught.value.code == "projection.rebuild-lost"
    await bus.close()


async def test_what_the_service_refuses_is_told() -> None:
    async def refuse(_: str, __: bytes) -> bytes:
        return wire.failed(Denied("no", code="query.operator"))

    bus = MemoryBus()
    await bus.respond(REBUILD, refuse)
    with pytest.raises(Denied, match="no"):
        await QueryClient(bus, "acme", look_s=60.0).rebuild()
    await bus.close()
