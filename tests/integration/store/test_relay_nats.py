"""The relay between a real PostgreSQL and a real nats-server whose storage is wiped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agentplane.bus.nats import NatsBus
from agentplane.bus.subjects import EVENTS
from agentplane.events.cloudevents import decode_stored
from agentplane.store.outbox import OutboxCursor
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.relay import Relay
from agentplane.store.roles import APPEND
from tests.contract.test_event_store import append, event, stream
from tests.nats_server import NatsServer, bus, nats_server
from tests.postgres import Database

__all__ = ["bus", "nats_server"]


async def kept(bus: NatsBus, count: int) -> list[int]:
    """The sequences of the first `count` messages of the stream, as a watcher gets them."""
    found: list[int] = []
    async with asyncio.timeout(60):
        async for message in bus.follow(EVENTS, "agentplane.acme.>"):
            found.append(decode_stored(message.data).sequence)
            if len(found) == count:
                break
    return found


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_wiped_server_gets_everything_again_while_appends_go_on(
    database: Database, nats_server: NatsServer, bus: NatsBus
) -> None:
    cursor = OutboxCursor(database.conninfo(APPEND), "nats")
    async with (
        await PostgresEventStore.open(database.conninfo(APPEND), poll_s=0.1) as store,
        running(Relay(store, cursor, bus, batch=50)),
    ):
        await store.append(*(append(event(stream(f"s{n}"))) for n in range(120)))
        assert await kept(bus, 120) == list(range(1, 121))
        await asyncio.to_thread(nats_server.wipe)
        await store.append(append(event()))
        assert sorted(set(await kept(bus, 121))) == list(range(1, 122))
        await store.append(append(event()))
        assert (await kept(bus, 122))[-1] == 122
    await cursor.close()
