"""Makes what the units of a Debian host need: keys, users, passwords, configuration. Repeatable.

Started by scripts/install-debian.sh with the installed Python. Secrets are files of mode 0600 in DIRECTORY/keys, made
once; systemd hands them to the units. The database itself is prepared by agentplane-database.service.
"""

import argparse
import secrets
import shutil
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agentplane.bus import accounts, nkeys
from agentplane.errors import AgentplaneError, Conflict
from agentplane.evidence.edge import generate_key_pair
from agentplane.stack.inventory import local_inventory
from agentplane.stack.provision import write_json
from agentplane.store import roles
from agentplane.store.initialise import FILES

DATABASE, PORT, TENANT = "agentplane", 5432, "default"
SHARE = Path(sys.prefix) / "share" / "agentplane"


def main() -> int:
    """Parse the arguments and provision. Returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path, nargs="?", default=Path("/etc/agentplane"))
    parser.add_argument("--executor", default="exec-local", help="the name of this host's executor")
    options = parser.parse_args()
    try:
        provision(options.directory, options.executor)
    except AgentplaneError as error:
        print(f"provision: {error.code}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def provision(directory: Path, executor: str) -> None:
    """Control, projector, bus and one executor on this host, below `directory`."""
    keys, trusted = directory / "keys", directory / "trusted"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    (trusted / "executors").mkdir(parents=True, exist_ok=True)
    for name, public in (("control", "control.pub"), ("executor", f"executors/{executor}.pub")):
        with suppress(Conflict):  # made before
            generate_key_pair(keys, name)
        shutil.copyfile(keys / f"{name}.pub", trusted / public)
    write(directory / "nats-server.conf", _bus(keys, executor))
    for role, name in FILES.items():
        _password_file(keys / name, role)
    for name, document in documents(executor).items():
        write_json(directory / f"{name}.json", document)
        # read by units that run as users of their own; holds no secret
        (directory / f"{name}.json").chmod(0o600 if name == "context" else 0o644)
    if not (directory / "inventory.json").exists():
        write_json(directory / "inventory.json", local_inventory(executor, datetime.now(UTC)))
        (directory / "inventory.json").chmod(0o644)


def _bus(keys: Path, executor: str) -> str:
    public = {
        role: nkeys.create_seed_file(keys / f"{role}.nkey") for role in ("control", "projector", "executor", "user")
    }
    users = (
        accounts.control(public["control"]),
        accounts.projector(public["projector"]),
        accounts.executor(public["executor"], executor),
        accounts.person(public["user"], TENANT, "local"),
    )
    return accounts.render(accounts.ServerConfig(port=4222, store_dir="/var/lib/agentplane-bus"), users)


def _password_file(path: Path, role: str) -> None:
    if not path.exists():
        write(path, f"*:*:*:{role}:{secrets.token_hex(24)}\n")


def write(path: Path, text: str) -> None:
    """Make a file of mode 0600, or write it anew."""
    path.touch(mode=0o600)
    path.write_text(text)


def _conninfo(role: str) -> str:
    return f"host=127.0.0.1 port={PORT} dbname={DATABASE} user={role}"


def documents(executor: str) -> dict[str, dict[str, Any]]:
    """What each daemon of one host is configured with, by the name of its file below /etc/agentplane."""
    kernel = sorted((SHARE / "kernel").glob("*.deb"))
    return {
        "control": {
            "nats": _nats("control"),
            "postgres": _postgres("control", roles.APPEND),
            "signing_key_file": "/run/credentials/agentplane-control.service/control.key",
            "executor_keys_dir": "/etc/agentplane/trusted",
            "inventory_file": "/etc/agentplane/inventory.json",
            "tenants": [TENANT],
        },
        "projector": {
            "nats": _nats("projector"),
            "postgres": _postgres("projector", roles.PROJECT),
            "read_postgres": _postgres("projector", roles.READ),
        },
        "executor": {
            "name": executor,
            "state_dir": "/var/lib/agentplane-executor",
            "nats": _nats("executor"),
            "signing_key_file": "/run/credentials/agentplane-executor.service/executor.key",
            "control_public_key_file": "/etc/agentplane/trusted/control.pub",
            "vm_kit": str(SHARE / "vm"),
            "kernel_deb": str(kernel[-1]) if kernel else None,
            "guests": {"socket": "/run/agentplane/guest.sock"},
        },
        "backup-control": _backup("control") | {"database": {"database": DATABASE, "port": PORT}},
        "backup-executor": _backup("executor")
        | {"executor": {"name": executor, "state_dir": "/var/lib/agentplane-executor"}},
        "context": {
            "tenant": TENANT,
            "servers": ["nats://127.0.0.1:4222"],
            "nkey_seed_file": "/etc/agentplane/keys/user.nkey",
            "trusted_keys_dir": "/etc/agentplane/trusted",
        },
    }


def _backup(host: str) -> dict[str, Any]:
    return {
        "directory": f"/var/lib/agentplane-backup-{host}",
        "trusted_keys_dir": "/etc/agentplane/trusted",
        "files": ["/etc/agentplane/inventory.json", f"/etc/agentplane/{host}.json"],
    }


def _nats(daemon: str) -> dict[str, Any]:
    # each unit has a copy of its own: see the unit files
    seed = f"/run/agentplane-{daemon}/nats.nkey"
    return {"servers": ["nats://127.0.0.1:4222"], "nkey_seed_file": seed}


def _postgres(daemon: str, role: str) -> dict[str, Any]:
    return {"conninfo": _conninfo(role), "passfile": f"/run/agentplane-{daemon}/{FILES[role]}"}


if __name__ == "__main__":
    sys.exit(main())
