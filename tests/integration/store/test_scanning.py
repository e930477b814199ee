"""Scanning the log by columns: the same events as page by page, whatever is in them."""

import asyncio
from typing import Any

import msgspec
import pytest

from agentplane.errors import Refused
from agentplane.events.model import StoredEvent
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.reader import LogReader
from agentplane.store.roles import APPEND, PROJECT
from agentplane.store.rows import EPOCH
from tests.contract.test_event_store import append, event, stream
from tests.integration.store.test_ways import odd_event
from tests.postgres import Database


async def scanned(reader: LogReader, **options: Any) -> list[tuple[Any, ...]]:
    found = []
    async for events in reader.scan(dict[str, Any], **options):
        found += [
            (e.sequence, e.stream_version, e.recorded_us, e.names.stream, e.names.type, e.names.type_version, e.data)
            for e in events
        ]
    return found


def shape(stored: StoredEvent) -> tuple[Any, ...]:
    event = stored.event
    recorded_us = round((stored.recorded_at - EPOCH).total_seconds() * 1_000_000)
    place = (stored.sequence, stored.stream_version, recorded_us)
    return (*place, event.stream, event.type, event.type_version, event.data)


@pytest.mark.parametrize(("after", "upto"), [(0, None), (0, 1), (127, 129), (128, 256), (300, None), (900, None)])
async def test_a_scan_is_what_pages_are(database: Database, after: int, upto: int | None) -> None:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await store.append(append(*(odd_event(number) for number in range(200))))
        await store.append(append(*(event(stream(f"s{number % 3}"), data={"n": number}) for number in range(1))))
        await asyncio.gather(*(store.append(append(event(stream(f"s{n % 9}"), data={"n": n}))) for n in range(200)))
        reader = LogReader(database.conninfo(PROJECT))
        pages = [each for each in await store.read(after, 10_000) if upto is None or each.sequence <= upto]
        assert await scanned(reader, after=after, upto=upto) == list(map(shape, pages))
        await reader.close()


class Numbered(msgspec.Struct):
    n: int


async def test_data_are_read_as_what_is_asked_for(database: Database) -> None:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await store.append(
            *(append(event(stream(f"s{number}"), data={"n": number, "more": []})) for number in range(5))
        )
        reader = LogReader(database.conninfo(PROJECT))
        seen = [each.data.n async for events in reader.scan(Numbered) for each in events]
        assert seen == list(range(5))
        await store.append(append(event(stream("other"), data={"n": "text"})))
        with pytest.raises(Refused) as caught:
            [each async for each in reader.scan(Numbered)]
        assert caught.value.code == "event.payload"
        await reader.close()


async def test_one_that_is_left_early_costs_the_reader_nothing(database: Database) -> None:
    async with await PostgresEventStore.open(database.conninfo(APPEND)) as store:
        await store.append(append(*(event() for _ in range(1000))))
        reader = LogReader(database.conninfo(PROJECT))
        scan = reader.scan(dict[str, Any])
        assert len(await anext(scan)) == 128
        await scan.aclose()  # type: ignore[attr-defined]
        assert len(await reader.read(0)) == 1000
        await reader.close()


async def test_an_empty_log_has_nothing(database: Database) -> None:
    reader = LogReader(database.conninfo(PROJECT))
    assert await scanned(reader) == []
    await reader.close()
