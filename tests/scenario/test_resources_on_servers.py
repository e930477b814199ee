"""Resources on a real PostgreSQL and nats-server, with the daemon that serves them; PostgreSQL is killed on the way."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentplane.bus import subjects
from agentplane.bus.nats import NatsBus
from agentplane.domains.organization import DOMAIN
from agentplane.domains.registry import Registry
from agentplane.domains.resource import APPLIED, APPLY_REQUESTED, STATUS_CHANGED
from agentplane.domains.specs import read_wish
from agentplane.errors import Transient
from agentplane.events import cloudevents
from agentplane.events.model import Event, StoredEvent
from agentplane.intents.resources import request_apply
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT, READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.nats_server import NatsServer
from tests.postgres import Database
from tests.scenario.servers import daemon
from tests.scenario.test_control_on_servers import alice, nats_server, settings
from tests.scenario.world import TENANT

__all__ = ["alice", "nats_server"]

REGISTRY = Registry((DOMAIN,))
COUNT = 20


def wish(number: int) -> Event:
    owner = {"name": "Ada", "email": "ada@acme.example"}
    document = {"name": f"org-{number}", "displayName": f"Org {number}", "owner": owner}
    document = {"metadata": {"name": document.pop("name")}, "kind": "Organization", "spec": document}
    read = read_wish(REGISTRY, document, tenant=TENANT, kind=None, origin="test")
    return request_apply(
        uuid.uuid5(uuid.NAMESPACE_URL, f"org/{number}"),
        stream=read.stream,
        api_version=read.request.api_version,
        spec=read.request.spec,
        actor="user:alice",
        now=datetime.now(UTC),
    )


async def publish(bus: NatsBus, event: Event) -> None:
    """Every time as another message: the server must not be the one that recognises a repetition."""
    subject = subjects.event_subject(TENANT, event.phase, event.stream.kind, event.type)
    await bus.publish(subject, cloudevents.encode(event), message_id=str(uuid.uuid4()))


async def until(store: PostgresEventStore, reached: Callable[[tuple[StoredEvent, ...]], bool]) -> list[StoredEvent]:
    """Poll the log, whatever is away meanwhile."""
    async with asyncio.timeout(60):
        while True:
            try:
                events = await store.read(0, 10_000)
                if reached(events):
                    return list(events)
            except Transient:
                pass
            await asyncio.sleep(0.05)


def activated(count: int) -> Callable[[tuple[StoredEvent, ...]], bool]:
    return lambda events: sum(each.event.type == "organization.activated" for each in events) >= count


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[ViewReader]:
    opened = ViewReader(database.conninfo(READ))
    yield opened
    await opened.close()


@pytest.mark.stack
async def test_two_daemons_and_a_killed_database_decide_every_wish_once(
    database: Database, nats_server: NatsServer, tmp_path: Path, alice: NatsBus, reader: ViewReader
) -> None:
    config = settings(database, nats_server, tmp_path)
    async with await PostgresEventStore.open(database.conninfo(PROJECT)) as store:
        async with daemon(config), daemon(config):
            await publish_when_served(alice, wish(0))
            await until(store, activated(1))
            await asyncio.gather(*(publish(alice, wish(number)) for number in range(1, COUNT)))
            await asyncio.to_thread(database.cluster.kill)
            await asyncio.gather(*(publish(alice, wish(number)) for number in range(COUNT)))
            await asyncio.to_thread(database.cluster.start)
            events = await until(store, activated(COUNT))
        async with daemon(config):  # a third one shows nothing twice
            await publish_when_served(alice, wish(COUNT))
            events = await until(store, activated(COUNT + 1))
    found = [each.event.type for each in events]
    assert {found.count(type_) for type_ in (APPLY_REQUESTED, APPLIED, STATUS_CHANGED)} == {COUNT + 1}
    views = ViewStore(database.conninfo(PROJECT))
    await views.prepare()
    await views.catch_up()
    await views.close()
    first = await reader.resources(TENANT, kind="Organization", namespace=None, after="", limit=15)
    rest = await reader.resources(
        TENANT, kind="Organization", namespace=None, after=f"default/{first[-1].name}", limit=15
    )
    assert len({each.name for each in (*first, *rest)}) == COUNT + 1
    assert {each.status["phase"] for each in (*first, *rest)} == {"Active"}
    assert await reader.resources("rival", kind="Organization", namespace=None, after="", limit=15) == ()
    assert await reader.resource("rival", "Organization", "default", "org-1") is None


async def publish_when_served(bus: NatsBus, event: Event) -> None:
    """The first publication waits until control has made the stream."""
    async with asyncio.timeout(30):
        while True:
            try:
                await publish(bus, event)
            except Transient:
                await asyncio.sleep(0.05)
            else:
                return
