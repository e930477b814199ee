"""The projector as a process: real PostgreSQL, real NATS, real signals."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agentplane.bus.nats import NatsBus
from agentplane.errors import Denied, NotFound, Transient
from agentplane.queries.client import QueryClient
from agentplane.store.postgres import PostgresEventStore
from agentplane.store.roles import PROJECT, READ
from tests.integration.projections.conftest import record
from tests.nats_server import NatsServer, nats_server  # noqa: F401 - a fixture
from tests.postgres import Database
from tests.unit.projections.histories import Log

pytestmark = pytest.mark.stack


class Daemon:
    """A projector process; `kill` is -9."""

    def __init__(self, config: Path, stderr: Path) -> None:
        self._config = config
        self.stderr = stderr
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self.stderr.open("ab") as sink:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.projector", "--config", str(self._config), stderr=sink
            )

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()

    def resident_mib(self) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(each for each in status.splitlines() if each.startswith("VmRSS"))
        return int(line.split()[1]) // 1024


@pytest.fixture
async def daemon(database: Database, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Daemon]:  # noqa: F811
    document = {
        "nats": {"servers": [nats_server.url], "nkey_seed_file": str(nats_server.seed("projector"))},
        "postgres": {"conninfo": database.conninfo(PROJECT)},
        "read_postgres": {"conninfo": database.conninfo(READ)},
    }
    config = tmp_path / "projector.json"
    config.write_text(json.dumps(document))
    daemon = Daemon(config, tmp_path / "stderr")
    await daemon.start()
    yield daemon
    await daemon.end(signal.SIGKILL)


@pytest.fixture
async def alice(nats_server: NatsServer) -> AsyncIterator[QueryClient]:  # noqa: F811
    bus: NatsBus = await nats_server.connect("alice")
    yield QueryClient(bus, "acme", timeout_s=2)
    await bus.close()


@pytest.fixture
async def olga(nats_server: NatsServer) -> AsyncIterator[QueryClient]:  # noqa: F811
    """An operator."""
    bus: NatsBus = await nats_server.connect("olga")
    yield QueryClient(bus, "acme", timeout_s=2)
    await bus.close()


async def eventually(call: Callable[[], Awaitable[Any]]) -> Any:
    """A caller's patience: again while something is away, or not there yet."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except (Transient, NotFound):
                await asyncio.sleep(0.05)


def runs(*names: str) -> Log:
    log = Log()
    for name in names:
        log.run(name)
    return log


async def test_it_projects_answers_survives_kill_and_drains(
    daemon: Daemon, store: PostgresEventStore, alice: QueryClient, olga: QueryClient
) -> None:
    log = runs("one", "two")
    await record(store, log.stored[:8])
    assert (await eventually(lambda: alice.run("one", min_sequence=8))).last_sequence == 8
    assert await daemon.end(signal.SIGKILL) == -signal.SIGKILL
    await record(store, log.stored[8:])
    await daemon.start()
    assert (await eventually(lambda: alice.run("two", min_sequence=16))).last_sequence == 16
    assert all(each.equal for each in await olga.rebuild())
    with pytest.raises(Denied):
        await alice.rebuild()
    resident = daemon.resident_mib()
    assert await daemon.end(signal.SIGTERM) == 0
    said = daemon.stderr.read_text()
    assert "Traceback" not in said
    assert '"event": "stopping"' in said
    assert resident <= 120


async def test_it_goes_on_when_nats_restarts(
    daemon: Daemon,
    store: PostgresEventStore,
    alice: QueryClient,
    nats_server: NatsServer,  # noqa: F811
) -> None:
    log = runs("one", "two")
    await record(store, log.stored[:8])
    await eventually(lambda: alice.run("one"))
    nats_server.kill()
    await record(store, log.stored[8:])
    nats_server.start()
    assert (await eventually(lambda: alice.run("two", min_sequence=16))).last_sequence == 16
    assert daemon.process is not None
    assert daemon.process.returncode is None


async def test_it_goes_on_when_postgresql_crashes(
    daemon: Daemon, store: PostgresEventStore, alice: QueryClient, database: Database
) -> None:
    log = runs("one", "two")
    await record(store, log.stored[:8])
    await eventually(lambda: alice.run("one", min_sequence=8))
    database.cluster.kill()
    database.cluster.start()
    for stored in log.stored[8:]:
        await eventually(lambda stored=stored: record(store, [stored]))  # type: ignore[misc]
    assert (await eventually(lambda: alice.run("two", min_sequence=16))).last_sequence == 16
    assert daemon.process is not None
    assert daemon.process.returncode is None


async def test_a_wrong_configuration_names_the_field(tmp_path: Path) -> None:
    config = tmp_path / "projector.json"
    config.write_text('{"nats": {"servers": []}, "postgres": {"conninfo": ""}, "batch_events": 0}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.projector", "--config", str(config), "--check-config"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert all(field in said for field in (b"nats.servers", b"read_postgres", b"batch_events"))


async def switched(database: Database) -> None:
    """Raises Transient: the rows are still those of the release before."""
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        row = connection.execute("SELECT version FROM views.checkpoints WHERE projection = 'runs'").fetchone()
    if row != (1,):
        raise Transient("not yet")


async def test_an_upgrade_goes_on_after_kills_while_it_answers(
    daemon: Daemon, store: PostgresEventStore, alice: QueryClient, database: Database
) -> None:
    """The rows are those of a release before: each start builds on, and what is asked is answered from them."""
    names = [f"run-{number:03d}" for number in range(150)]
    await record(store, runs(*names).stored)
    await eventually(lambda: alice.run(names[-1], min_sequence=len(names) * 8))
    with psycopg.connect(database.conninfo("postgres"), autocommit=True) as admin:
        # a build takes a moment here, so that kills meet it; the live fold does not
        admin.execute(
            "CREATE FUNCTION views.slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF NEW.projection LIKE '%__rebuild' THEN PERFORM pg_sleep(0.3); END IF; RETURN NEW; END $$"
        )
        admin.execute(
            "CREATE TRIGGER slowly BEFORE UPDATE ON views.checkpoints FOR EACH ROW EXECUTE FUNCTION views.slowly()"
        )
        admin.execute("UPDATE views.checkpoints SET version = 0, readable_from = 0 WHERE projection = 'runs'")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        await daemon.end(number)
        await daemon.start()
        status = await eventually(lambda: upgrading(alice))
        assert status.building.version == 1
    await eventually(lambda: switched(database))
    assert len((await eventually(lambda: alice.runs(limit=1000))).runs) == len(names)
    with psycopg.connect(database.conninfo(PROJECT)) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE tablename LIKE '%rebuild%'").fetchone() == (0,)
    assert "Traceback" not in daemon.stderr.read_text()


async def upgrading(client: QueryClient) -> Any:
    """The status of `runs`. Raises Transient: no build has begun."""
    found = next(each for each in await client.projections() if each.projection == "runs")
    if found.building is None or not found.building.position:
        raise Transient("no build has begun")
    return found
