"""The shared entry point, run as the real process that systemd starts."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from agentplane.daemon.config import NatsSettings, Settings
from agentplane.daemon.main import serve
class Config(Settings):
    nats: NatsSettings
    slots: int
async def app(config, lifecycle):
    lifecycle.ready("serving")
    await lifecycle.stopping.wait()
import sys
sys.exit(serve("agentplane-test", Config, app))
"""


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--config", str(path), *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_bad_configuration_names_every_wrong_field_and_no_value(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"nats": {"servers": [], "nkey_seed_file": "relative"}, "slots": "hunter2", "extra": 1}))
    done = run(path, "--check-config")
    assert done.returncode == 2
    for field in ("nats.servers", "nats.nkey_seed_file", "slots", "extra"):
        assert field in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_syntax_error_has_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{\n  "slots": ,\n}')
    done = run(path, "--check-config")
    assert done.returncode == 2
    assert f"{path}:2:" in done.stderr


def test_notifies_ready_and_stopping_and_exits_0_on_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"nats": {"servers": ["nats://127.0.0.1:1"]}, "slots": 1}))
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.bind(str(tmp_path / "notify"))
    notices.settimeout(60)
    environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--config", str(path)], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        seen = ""
        while "READY=1" not in seen or seen.count("WATCHDOG=1") < 3:
            seen += notices.recv(4096).decode()
        process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in seen:
            seen += notices.recv(4096).decode()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert all(json.loads(line)["service"] == "agentplane-test" for line in errors.splitlines())
    notices.close()


async def test_failed_part_stops_the_daemon() -> None:
    from agentplane.daemon.lifecycle import Lifecycle

    lifecycle = Lifecycle()

    async def part() -> None:
        raise RuntimeError("gone")

    lifecycle.spawn(part(), "part")
    await asyncio.wait_for(lifecycle.stopping.wait(), 30)
    assert isinstance(lifecycle.failure, RuntimeError)
