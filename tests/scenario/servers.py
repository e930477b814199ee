"""The control daemon over real servers, in this process: its settings with all the files they name, and its life."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agentplane.daemon.config import check_settings
from agentplane.daemon.lifecycle import Lifecycle
from agentplane.evidence.keys import public_pem
from agentplane.store.roles import APPEND
from services.control.app import run
from services.control.config import ControlSettings
from tests.nats_server import NatsServer
from tests.postgres import Database
from tests.scenario.world import TENANT, signer_for


def control_settings(
    database: Database, server: NatsServer, where: Path, executor: str, **more: object
) -> ControlSettings:
    """Settings of a control daemon whose inventory declares one executor and that knows its key; `more`: of them."""
    control = signer_for("control")
    (where / "executors").mkdir(parents=True)
    raw = control._private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (where / "control.key").write_bytes(raw)
    (where / "control.key").chmod(0o600)
    (where / "control.pub").write_bytes(public_pem(control.public_key))
    (where / f"executors/{executor}.pub").write_bytes(public_pem(signer_for(f"executor/{executor}").public_key))
    inventory = {"executors": [{"name": executor, "sshRef": "here", "caps": {"os": "linux", "arch": "x86_64"}}]}
    (where / "inventory.json").write_text(json.dumps(inventory))
    document = {
        "nats": {"servers": [server.url], "nkey_seed_file": str(server.seed("control"))},
        "postgres": {"conninfo": database.conninfo(APPEND)},
        "signing_key_file": str(where / "control.key"),
        "executor_keys_dir": str(where),
        "inventory_file": str(where / "inventory.json"),
        "tenants": [TENANT],
        **more,
    }
    return check_settings(document, ControlSettings, origin="test")


@asynccontextmanager
async def daemon(config: ControlSettings) -> AsyncIterator[Lifecycle]:
    """A control daemon for as long as a `with` lasts; it must end without a failure."""
    lifecycle = Lifecycle()
    serving = asyncio.create_task(run(config, lifecycle))
    try:
        yield lifecycle
    finally:
        lifecycle.stop("test over")
        await serving
        await lifecycle.close()
        assert lifecycle.failure is None
