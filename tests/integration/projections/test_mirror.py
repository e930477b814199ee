"""The mirror as the projector writes it: real PostgreSQL, a real process, kill -9 while a checker counts."""

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentplane.errors import Broken
from agentplane.mirror.directory import Mirror
from agentplane.mirror.lines import Form, lines
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.reader import LogReader
from agentplane.store.roles import PROJECT, READ
from services.projector.mirror import catch_up
from tests.contract.test_event_store import append, event, stream
from tests.integration.projections.test_daemon import Daemon
from tests.nats_server import NatsServer, nats_server  # noqa: F401 - a fixture
from tests.postgres import Database
from tests.unit.mirror.test_mirror import contents, remove

pytestmark = pytest.mark.stack

KILLS = 8
EVENTS = 1500


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[LogReader]:
    opened = LogReader(database.conninfo(PROJECT))
    yield opened
    await opened.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
async def daemon(
    database: Database,
    nats_server: NatsServer,  # noqa: F811
    tmp_path: Path,
    directory: Path,
) -> AsyncIterator[Daemon]:
    document = {
        "nats": {"servers": [nats_server.url], "nkey_seed_file": str(nats_server.seed("projector"))},
        "postgres": {"conninfo": database.conninfo(PROJECT)},
        "read_postgres": {"conninfo": database.conninfo(READ)},
        "mirror": {"directory": str(directory)},
    }
    config = tmp_path / "projector.json"
    config.write_text(json.dumps(document))
    daemon = Daemon(config, tmp_path / "stderr")
    yield daemon
    await daemon.end(signal.SIGKILL)


def feed_lines(directory: Path) -> int:
    return sum(data.count(b"\n") for path, data in contents(directory).items() if path.endswith("feed.jsonl"))


async def grown(daemon: Daemon, directory: Path, lines_wanted: int) -> None:
    """Return when the feeds have so many lines."""
    async with asyncio.timeout(60):
        while feed_lines(directory) < lines_wanted:
            assert daemon.process is not None
            assert daemon.process.returncode is None, daemon.stderr.read_text()
            await asyncio.sleep(0.005)


async def whole(store: PostgresEventStore, form: Form = Form.CLOUDEVENTS) -> dict[str, bytes]:
    return {path: bytes(data) for path, data in lines(await store.read(0, 10_000), form).items()}


async def test_killed_at_random_it_neither_repeats_nor_skips(
    daemon: Daemon, store: PostgresEventStore, directory: Path
) -> None:
    async def produce() -> None:
        for number in range(EVENTS):
            await store.append(append(event(stream(f"s{number % 9}", tenant=("acme", "globex")[number % 2]))))

    producing = asyncio.create_task(produce())
    dice = random.Random(4711)  # noqa: S311 - when to kill
    for kill in range(KILLS):
        await daemon.start()
        await grown(daemon, directory, kill * EVENTS // KILLS + dice.randrange(1, EVENTS // KILLS))
        await daemon.end(signal.SIGKILL)
        for path, data in contents(directory).items():  # whole lines, each once, in order, whenever one looks
            whole_lines = data[: data.rfind(b"\n") + 1].splitlines()
            name = "seq" if path.endswith("feed.jsonl") else "sequence"
            found = [int(json.loads(line)[name]) for line in whole_lines]
            assert found == sorted(set(found))
    await producing
    await daemon.start()
    await grown(daemon, directory, EVENTS)
    await daemon.end(signal.SIGKILL)
    assert contents(directory) == await whole(store)
    remove(directory)
    await daemon.start()
    await grown(daemon, directory, EVENTS)
    await daemon.end(signal.SIGKILL)
    assert contents(directory) == await whole(store)


async def test_the_mirror_of_another_log_is_left_alone(
    store: PostgresEventStore, reader: LogReader, directory: Path
) -> None:
    await store.append(append(event(stream()), event(stream())))
    mirror = Mirror(directory)
    assert await catch_up(reader, mirror) == 2
    before = contents(directory)
    position = directory / ".position.json"
    for field, value, code in (("sequence", 3, "mirror.ahead"), ("event", "x", "mirror.other-log")):
        kept = position.read_bytes()
        position.write_text(json.dumps({**json.loads(kept), field: value}))
        mirror.close()
        with pytest.raises(Broken) as caught:
            await catch_up(reader, mirror)
        assert caught.value.code == code
        position.write_bytes(kept)
    assert await catch_up(reader, mirror) == 0
    assert contents(directory) == before
    mirror.close()


async def test_files_that_vanish_while_it_writes_come_back(
    store: PostgresEventStore, reader: LogReader, directory: Path
) -> None:
    mirror = Mirror(directory)
    for loss in ("acme/feed.jsonl", "acme", "."):
        await store.append(append(event(stream(tenant="acme"))), append(event(stream(tenant="globex"))))
        await catch_up(reader, mirror)
        lost = directory / loss
        remove(lost) if lost.is_dir() else lost.unlink()
        await store.append(append(event(stream(tenant="acme"))))
        await catch_up(reader, mirror)
        assert contents(directory) == await whole(store)
    mirror.close()
