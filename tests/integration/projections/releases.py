"""Programs of several releases over one database, and what they leave there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from msgspec.structs import replace

from agentplane.events.model import StoredEvent
from agentplane.projections.engine import RUNS, Projection
from agentplane.projections.run_view import RunView
from agentplane.projections.status import Status
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT
from agentplane.store.views import ViewStore
from tests.integration.projections.conftest import record
from tests.postgres import Database

NEWER_MESSAGE = "as version 2 has it"


def newer(view: RunView | None, stored: StoredEvent) -> RunView | None:
    after = RUNS.apply(view, stored)
    return None if after is None else replace(after, message=NEWER_MESSAGE)


RUNS_2 = RUNS._replace(version=2, apply=newer)


@asynccontextmanager
async def program(
    database: Database, *projections: Projection, batch: int = 5, grace_s: float = 0.0
) -> AsyncIterator[ViewStore]:
    """A projector of a release that has these projections; ends as one that is killed does."""
    views = ViewStore(database.conninfo(PROJECT), projections, batch=batch, grace_s=grace_s)
    try:
        await views.prepare()
        yield views
    finally:
        await views.close()


async def tended(views: ViewStore) -> None:
    """Return when nothing is left to do: a server notices a moment later that a program's session has ended."""
    while await views.tend():
        continue


async def of(views: ViewStore, name: str = "runs") -> Status:
    return next(each for each in await views.status() if each.projection == name)


def relations(database: Database) -> set[str]:
    """All tables of views, and the checkpoints that there are."""
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'views'").fetchall()
        marks = connection.execute("SELECT 'at ' || projection FROM views.checkpoints").fetchall()
    return {row[0] for row in (*tables, *marks)} - {"checkpoints"}


def contents(database: Database) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        return connection.execute("SELECT * FROM views.runs ORDER BY tenant, name").fetchall()


async def served_before(store: PostgresEventStore, database: Database, events: Sequence[StoredEvent]) -> None:
    """What the release before left: its rows, up to the end of the log."""
    await record(store, events)
    async with program(database, RUNS) as old:
        await old.catch_up()
