"""A writer process for the concurrency tests: appends through its own store, and misbehaves beside it.

Reads one JSON line: {"conninfo", "seed", "calls", "producers"}. Prints the ids it was told are stored, one a line.
"""
# ruff: noqa: S311

import asyncio
import json
import random
import sys
import uuid

import psycopg

from agentplane.errors import Conflict
from agentplane.store import sql
from agentplane.store.postgres import PostgresEventStore
from tests.contract.test_event_store import append, event, stream

UNFINISHED = """
    INSERT INTO log.events
    SELECT max(sequence) + 1, gen_random_uuid(), 'acme', 'Run', 'default', 'aborted', 1, 'fact', 'run.placed', 1,
        'user:x', now(), now(), gen_random_uuid(), NULL, '{}', decode(repeat('00', 32), 'hex')
    FROM log.events HAVING count(*) > 0"""


async def produce(store: PostgresEventStore, rng: random.Random, calls: int) -> None:
    """Calls of 1 to 5 events over a few streams that all writers share; a lost race is decided again."""
    for _ in range(calls):
        at = stream(f"shared-{rng.randrange(4)}")
        events = [event(at, id=uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(rng.randint(1, 5))]
        while True:
            expected = len(await store.read_stream(at)) if rng.random() < 0.5 else None
            try:
                await store.append(append(*events, expected=expected))
                break
            except Conflict:
                continue
        sys.stdout.writelines(f"{each.id}\n" for each in events)


async def misbehave(conninfo: str, rng: random.Random, calls: int) -> None:
    """Transactions that take the append lock, write, dawdle, and are rolled back or lose their connection."""
    for _ in range(calls):
        connection = await psycopg.AsyncConnection.connect(conninfo)
        await connection.execute(sql.ENTER)
        await connection.execute(UNFINISHED)
        await connection.execute("SELECT pg_sleep(%s)", [rng.random() / 50])
        if rng.random() < 0.5:
            await connection.rollback()
        await connection.close()


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    rng = random.Random(order["seed"])
    async with await PostgresEventStore.open(order["conninfo"]) as store:
        producers = [produce(store, random.Random(rng.random()), order["calls"]) for _ in range(order["producers"])]
        await asyncio.gather(misbehave(order["conninfo"], rng, order["calls"]), *producers)


if __name__ == "__main__":
    asyncio.run(main())
