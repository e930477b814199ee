"""From `agentplane keys` and `agentplane-bus` to a real server with TLS: each key may do what its role needs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agentplane.bus.nats import NatsBus
from agentplane.bus.tls import Tls
from agentplane.errors import Denied, Transient
from agentplane.keys.fleet import Wanted, make
from tests.nats_server import Daemon, binary, free_port


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    directory = tmp_path_factory.mktemp("fleet")
    wanted = Wanted(addresses=("127.0.0.1",), executors=("exec-a", "exec-b"), people=("alice",), tenant="acme")
    make(directory, wanted, datetime.now(UTC))
    port, host = free_port(), directory / "secret/control"
    settings = {
        "port": port,
        "host": "127.0.0.1",
        "jetstream": {"store_dir": str(directory / "js"), "sync_interval": "always"},
        "tls": {"cert_file": str(host / "bus.pem"), "key_file": str(host / "bus.key"), "handshake_first": True},
    }
    (directory / "settings.json").write_text(json.dumps(settings))
    argv = [sys.executable, "-m", "agentplane.bus.configure", "--users", str(directory / "users.json")]
    argv += ["--settings", str(directory / "settings.json")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    (directory / "nats.conf").write_text(done.stdout)
    with Daemon([binary(), "-c", str(directory / "nats.conf")], port, directory / "log"):
        yield directory, f"tls://127.0.0.1:{port}"


async def connect(fleet: tuple[Path, str], seed: str) -> NatsBus:
    directory, server = fleet
    tls = Tls(ca_file=str(directory / "trust/ca.pem"))
    return await NatsBus.connect([server], nkey_seed_file=directory / "secret" / seed, name=seed, tls=tls)


async def test_control_makes_the_streams_and_a_person_fills_them(fleet: tuple[Path, str]) -> None:
    control, alice = await connect(fleet, "control/control.nkey"), await connect(fleet, "people/alice.nkey")
    await control.ensure_streams()
    await alice.publish("agentplane.acme.intent.Run.run.requested", b"x", message_id="1")
    with pytest.raises(Denied):
        await alice.publish("agentplane.rival.intent.Run.run.requested", b"x", message_id="2")
    await alice.close()
    await control.close()


async def test_a_person_cannot_speak_as_an_executor(fleet: tuple[Path, str]) -> None:
    alice = await connect(fleet, "people/alice.nkey")
    with pytest.raises(Denied):
        await alice.request("agentplane-executor.exec-a.heartbeat", b"", timeout_s=5)
    await alice.close()


async def test_whom_control_has_not_answered_for_is_not_let_in(fleet: tuple[Path, str]) -> None:
    with pytest.raises(Transient) as caught:
        await connect(fleet, "exec-a/executor.nkey")
    assert caught.value.code == "bus.unreachable"
    assert "ended the connection" in caught.value.message
