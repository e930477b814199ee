"""A store with a history, and the read models beside it."""

from collections.abc import AsyncIterator, Sequence

import pytest

from agentplane.events.model import Append, StoredEvent
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import APPEND, PROJECT, READ
from agentplane.store.view_reader import ViewReader
from agentplane.store.views import ViewStore
from tests.postgres import Database


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresEventStore]:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as opened:
        yield opened


@pytest.fixture
async def views(database: Database) -> AsyncIterator[ViewStore]:
    """Small batches, so that every test crosses several."""
    opened = ViewStore(database.conninfo(PROJECT), batch=5)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[ViewReader]:
    opened = ViewReader(database.conninfo(READ))
    yield opened
    await opened.close()


async def record(store: PostgresEventStore, events: Sequence[StoredEvent]) -> None:
    """Append a made-up history as it is."""
    for stored in events:
        append = Append(stream=stored.event.stream, expected_version=None, events=(stored.event,))
        await store.append(append)
