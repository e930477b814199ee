"""A stack with TLS on its bus, whose certificate is renewed under a running guest."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentplane.keys import authority, fleet
from agentplane.stack import provision
from agentplane.stack.ports import load_ports
from tests.stack.conftest import KEPT
from tests.stack.plane import Plane, awaited
from tests.stack.test_metrics import exposition
from tests.stack.workloads import GATED, make_bundle

pytestmark = pytest.mark.stack

DAEMONS = ("control", "projector", "executor")
SOON = timedelta(days=5)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fleet's keys, whose certificate has days left."""
    directory, now = tmp_path_factory.mktemp("fleet"), datetime.now(UTC)
    fleet.make(directory, fleet.Wanted(addresses=("127.0.0.1",), operators=("op",)), now)
    host, signer = directory / "secret" / "control", directory / "secret" / "authority" / "ca.key"
    names = authority.names((host / "bus.pem").read_bytes())
    issued = now + SOON - authority.SERVER_LIFETIME
    (host / "bus.pem").write_bytes(
        authority.server(signer.read_bytes(), (host / "bus.key").read_bytes(), names, issued)
    )
    return directory


@pytest.fixture(scope="module")
def encrypted(keys: Path) -> Iterator[Plane]:
    """A stack as a fleet has it: nobody speaks to its bus in the clear."""
    parent = Path(tempfile.mkdtemp(prefix="agentplane-tls-"))
    parent.chmod(0o711)
    plane = Plane(parent / "state")
    if (KEPT / "kernel" / "kernel.txt").exists():
        (plane.layout.root / "kernel").mkdir(parents=True)
        shutil.copy(KEPT / "kernel" / "kernel.txt", plane.layout.root / "kernel")
    plane.call("stack", "up")
    _encrypt(plane, keys)
    yield plane
    plane.call("stack", "down")
    shutil.rmtree(parent)


def _encrypt(plane: Plane, keys: Path) -> None:
    ports, config = load_ports(plane.layout.ports), plane.layout.config
    assert ports is not None
    host = keys / "secret" / "control"
    tls = {"cert_file": str(host / "bus.pem"), "key_file": str(host / "bus.key"), "handshake_first": True}
    path = config / "nats-server.conf"
    path.write_text(f"{path.read_text()}\ntls: {json.dumps(tls)}\n")
    reached = {"servers": [f"tls://127.0.0.1:{ports['nats']}"], "tls": {"ca_file": str(keys / "trust" / "ca.pem")}}
    for daemon in DAEMONS:
        document = json.loads((config / f"{daemon}.json").read_text())
        provision.write_json(config / f"{daemon}.json", {**document, "nats": {**document["nats"], **reached}})
    provision.write_json(plane.layout.context, {**json.loads(plane.layout.context.read_text()), **reached})
    for daemon in ("nats", *DAEMONS):
        plane.kill(daemon)


def left_days(plane: Plane, daemon: str) -> float:
    """What a daemon says of the bus's certificate."""
    label = '{certificate="bus",'
    lines = [
        line for line in exposition(plane, daemon).splitlines() if f"agentplane_certificate_seconds{label}" in line
    ]
    return float(lines[0].rsplit(maxsplit=1)[1]) / 86_400


def test_a_certificate_is_renewed_under_a_running_guest(encrypted: Plane, keys: Path, tmp_path: Path) -> None:
    run = encrypted.submit(make_bundle(tmp_path, GATED, name="lasting"))
    sleeper = encrypted.held(run)
    warned = encrypted.call("doctor", "--fleet").stdout
    assert "in 5 days: renew it" in warned
    for daemon in DAEMONS:
        assert 4 < left_days(encrypted, daemon) <= SOON.days
    encrypted.call("keys", keys, "--renew-certificate")
    encrypted.kill("nats")
    renewed = awaited(lambda: encrypted.call("doctor", "--fleet", status=None).stdout or None, "the doctor")
    assert "renew it" not in renewed
    assert "in 730 days" in renewed
    os.kill(sleeper, signal.SIGTERM)
    finished = encrypted.sealed(run)
    assert (finished["succeeded"], finished["epoch"]) == (True, 1)
    assert encrypted.once_per_epoch(run) == [1]
    encrypted.verify(run, tmp_path / "evidence")
