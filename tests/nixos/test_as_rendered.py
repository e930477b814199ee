"""The guide's configuration, as the modules render it, served for real: PostgreSQL, nats-server with TLS, the daemons.

Only paths that systemd would provide are put elsewhere: each credential is the file that the unit would load. An
executor makes its own keys, asks to join over TLS, is approved from the guide's command line, and is heard of.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentplane.bus.configure import merged
from agentplane.bus.users import BusUsers
from agentplane.daemon.config import check_settings
from agentplane.keys.fleet import Wanted, make
from tests.nats_server import Daemon, binary, free_port
from tests.nixos.conftest import ROOT, Evaluate
from tests.postgres import PASSWORDS, Database, database, postgres_cluster

__all__ = ("database", "postgres_cluster")

WITHIN_S = 60


class Fleet:
    """Hosts as evaluated, with their files below one directory."""

    def __init__(self, directory: Path, database: Database, evaluate: Evaluate) -> None:
        self.directory = directory
        self.port = free_port()
        make(directory, Wanted(addresses=("127.0.0.1",), operators=("operator",)), datetime.now(UTC))
        self.secrets = directory / "secret" / "control"
        for role in ("append", "project", "read"):
            name = f"agentplane_{role}"
            (self.secrets / f"{role}.pgpass").write_text(f"*:*:*:{name}:{PASSWORDS[name]}\n")
        self.control = evaluate(self._host("./fleet/hosts/control.nix", self._database(database)))
        self.executor = evaluate(self._host("./fleet/hosts/exec-a.nix", 'executor.settings.backends = [ "process" ];'))

    def _host(self, file: str, changes: str) -> str:
        shared = f'servers = lib.mkForce [ "tls://127.0.0.1:{self.port}" ]; trust = lib.mkForce {self.directory}/trust;'
        parts = f"{file} {{ services.agentplane = {{ {shared} {changes} }}; }}"
        return f"{{ lib, ... }}: {{ imports = [ {parts} ]; }}"

    def _database(self, database: Database) -> str:
        def role(name: str) -> str:
            where = f"host=127.0.0.1 port={database.cluster.port} dbname={database.name}"
            return f'conninfo = "{where} user=agentplane_{name}";'

        return f"""bus = {{ port = {self.port}; users = lib.mkForce {self.directory}/users.json; }};
          control.settings.postgres.{role("append")} projector.settings.postgres.{role("project")}
          projector.settings.read_postgres.{role("read")}"""

    def settings(self, host: dict[str, Any], daemon: str) -> Path:
        """A daemon's rendered settings with the paths of this machine."""
        text = json.dumps(host["settings"][daemon])
        for entry in host["credentials"].get(f"agentplane-{daemon}", []):
            name, _, path = entry.partition(":")
            for where in (f"/run/credentials/agentplane-{daemon}.service", f"/run/agentplane-{daemon}"):
                text = text.replace(f'{where}/{name}"', f'{self.secrets}/{Path(path).name}"')
        places = {
            "/etc/agentplane/trusted": self.directory / "trust",
            "/var/lib/agentplane/trusted": self.directory / "trust",
            "/etc/agentplane/inventory.json": ROOT / "fleet/inventory.json",
            "/var/lib/agentplane-executor": self.directory / "executor",
            "/var/keys/operator.nkey": self.directory / "secret/people/operator.nkey",
        }
        for there, here in places.items():
            text = text.replace(there, str(here))
        document = json.loads(text)
        document.pop("guests", None)  # sockets of systemd
        if daemon == "executor":
            document["vm_kit"] = str(ROOT / "vm")
        file = self.directory / f"{daemon}.json"
        file.write_text(json.dumps(document))
        return file

    def bus(self) -> Path:
        """nats-server's configuration, as the module has agentplane-bus render it."""
        users = check_settings(self.control["bus"]["users"], BusUsers, origin="users")
        text = json.dumps(merged(self.control["bus"]["settings"], users, origin="bus"))
        document = json.loads(text.replace("/run/credentials/nats.service", str(self.secrets)))
        document |= {"host": "127.0.0.1", "port": self.port}
        document["jetstream"]["store_dir"] = str(self.directory / "js")
        (self.directory / "nats.json").write_text(json.dumps(document))
        return self.directory / "nats.json"

    @contextlib.contextmanager
    def running(self, daemon: str, settings: Path) -> Iterator[None]:
        """A daemon of services/, ended with SIGTERM."""
        with (self.directory / f"{daemon}.log").open("ab") as log:
            argv = [sys.executable, "-m", f"services.{daemon}", "--config", str(settings)]
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=ROOT)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=WITHIN_S)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line of the control host's operator."""
        environment = {**os.environ, "AGENTPLANE_STATE_DIR": str(self.directory)}
        argv = [sys.executable, "-m", "agentplane.cli.main", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)

    def until(self, wanted: str, *words: str) -> str:
        """What a command prints once it prints something that fits."""
        deadline = time.monotonic() + WITHIN_S
        while not re.search(wanted, (done := self.call(*words)).stdout):
            logs = "\n".join(path.read_text()[-1500:] for path in self.directory.glob("*.log"))
            assert time.monotonic() < deadline, f"{done.stdout}{done.stderr}{logs}"
        return done.stdout


@pytest.mark.stack
def test_a_fleet_serves_as_the_modules_render_it(evaluate: Evaluate, database: Database, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, database, evaluate)
    assert fleet.control["refused"] == fleet.executor["refused"] == []
    fleet.settings(fleet.control, "context")
    with contextlib.ExitStack() as stack:
        stack.enter_context(Daemon([binary(), "-c", str(fleet.bus())], fleet.port, tmp_path / "nats.log"))
        for host, daemon in ((fleet.control, "control"), (fleet.control, "projector"), (fleet.executor, "executor")):
            stack.enter_context(fleet.running(daemon, fleet.settings(host, daemon)))
        asked = fleet.until("exec-a", "executor", "requests")
        printed = re.search(r"SHA256:[0-9a-f]+", (tmp_path / "executor.log").read_text())
        assert printed is not None, asked
        approved = fleet.call("executor", "approve", "exec-a", "--fingerprint", printed[0])
        assert approved.returncode == 0, approved.stderr
        fleet.until(r"exec-a\s+approved\s+reachable", "executor", "list")
