"""Makes what one host of several needs: keys, users and configuration of a control host, or of an executor host.

Started by scripts/install-debian.sh with the installed Python, and repeatable, like provision.py, which makes a host
that is both. Executors make their own keys at first start and join; the bus speaks TLS. A control host leaves what
every other host has to be told in DIRECTORY/trusted: public keys and the bus's authority.
"""

import argparse
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import provision

from agentplane.bus import accounts
from agentplane.bus.users import BusUsers
from agentplane.caches.keys import parse_public_key
from agentplane.daemon.config import check_settings, load_document
from agentplane.errors import AgentplaneError, Broken
from agentplane.keys import fleet
from agentplane.stack.inventory import local_inventory
from agentplane.stack.provision import write_json

UNITS = Path("/etc/systemd/system")
PORT, MONITOR_PORT, ALL_ADDRESSES = 4222, 8222, "0.0.0.0"  # noqa: S104 - a bus of several hosts, with TLS
_JOINING = ("issuer.nkey", "watcher.nkey")
_COPY = "ExecStartPre=install -m 0400 -t %t/agentplane-control"


def main() -> int:
    """Parse the arguments and provision. Returns the exit status."""
    options = _parser().parse_args()
    try:
        options.provision(options)
    except AgentplaneError as error:
        print(f"provision: {error.code}: {error}", file=sys.stderr)
        return error.exit_status
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, default=Path("/etc/agentplane"))
    roles = parser.add_subparsers(required=True)
    one = roles.add_parser("control")
    one.add_argument("--address", action="append", required=True, help="a name or address that hosts reach it by")
    one.add_argument("--executor", action="append", required=True, help="a host that is to join; more may, later")
    one.set_defaults(provision=control)
    one = roles.add_parser("executor")
    one.add_argument("--name", required=True, help="a DNS label that no executor had before")
    one.add_argument("--control-address", required=True, help="one of the addresses of the control host")
    one.add_argument(
        "--trust", type=Path, required=True, help="the control host's /etc/agentplane/trusted, copied here"
    )
    one.add_argument("--cache", action="append", default=[], help="a binary cache to fetch signed guests from")
    one.add_argument("--join-token", type=Path, help="a file with a one-time token; else an operator approves")
    one.set_defaults(provision=executor)
    return parser


def control(options: argparse.Namespace) -> None:
    """The database's roles, bus, control and projector, and an operator's command line."""
    directory, made = options.directory, options.directory / "fleet"
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    fleet.make(made, fleet.Wanted(addresses=tuple(options.address), operators=("operator",)), datetime.now(UTC))
    keys = _private(directory)
    for path in (*(made / "secret" / "control").iterdir(), made / "secret" / "people" / "operator.nkey"):
        shutil.copyfile(path, keys / path.name)
        (keys / path.name).chmod(0o600)
    shutil.copytree(made / "trust", directory / "trusted", dirs_exist_ok=True)
    provision.write(directory / "nats-server.conf", _bus(made / "users.json"))
    documents = provision.documents("")
    for daemon in ("control", "projector"):
        documents[daemon]["nats"] |= _encrypted("localhost")
    documents["control"]["joining"] = {
        "issuer_seed_file": "/run/agentplane-control/issuer.nkey",
        "watcher_nkey_seed_file": "/run/agentplane-control/watcher.nkey",
    }
    documents["context"] |= _encrypted("localhost") | {"nkey_seed_file": "/etc/agentplane/keys/operator.nkey"}
    _documents(directory, documents, ("control", "projector", "backup-control", "context"))
    if not (directory / "inventory.json").exists():
        write_json(directory / "inventory.json", _inventory(options.executor))
        (directory / "inventory.json").chmod(0o644)
    _drop_in("agentplane-bus", [_credential("bus.pem"), _credential("bus.key")])
    copies = f"{_COPY} {' '.join(f'%d/{name}' for name in _JOINING)}"
    _drop_in("agentplane-control", [*map(_credential, _JOINING), copies])


def executor(options: argparse.Namespace) -> None:
    """One executor, with keys of its own."""
    directory = options.directory
    shutil.copytree(options.trust, directory / "trusted", dirs_exist_ok=True)
    document = provision.documents(options.name)["executor"]
    del document["signing_key_file"]
    document["nats"] = _encrypted(options.control_address)
    # the unit's own credentials are those of keys that come from elsewhere
    unit = [
        "LoadCredential=",
        "ExecStartPre=",
        f"ExecStartPre=agentplane-executor --config {directory}/executor.json --check-config",
    ]
    if options.join_token is not None:
        shutil.copyfile(options.join_token, _private(directory) / "join.token")
        (directory / "keys" / "join.token").chmod(0o600)
        document["join"] = {"token_file": "/run/credentials/agentplane-executor.service/join.token"}
        unit.append(_credential("join.token"))
    if options.cache:
        document["bundles"] = _cached(directory, options.cache)
    backup = provision.documents(options.name)["backup-executor"] | {"files": [f"{directory}/executor.json"]}
    _documents(directory, {"executor": document, "backup-executor": backup}, ("executor", "backup-executor"))
    _drop_in("agentplane-executor", unit)


def _private(directory: Path) -> Path:
    (directory / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory / "keys"


def _bus(users: Path) -> str:
    known = check_settings(load_document(users), BusUsers, origin=str(users))
    given = "/run/credentials/agentplane-bus.service"
    server = accounts.ServerConfig(
        port=PORT,
        host=ALL_ADDRESSES,
        store_dir="/var/lib/agentplane-bus",
        monitor_port=MONITOR_PORT,
        tls=accounts.ServerTls(cert_file=f"{given}/bus.pem", key_file=f"{given}/bus.key"),
        callout=known.callout(),
    )
    return accounts.render(server, known.users())


def _encrypted(address: str) -> dict[str, Any]:
    return {"servers": [f"tls://{address}:{PORT}"], "tls": {"ca_file": "/etc/agentplane/trusted/ca.pem"}}


def _cached(directory: Path, caches: list[str]) -> dict[str, Any]:
    """Whose guests are believed: by the executor, and by Nix's daemon, which checks again."""
    try:
        key = str(parse_public_key((directory / "trusted" / "cache.pub").read_text().strip()))
    except OSError as exc:
        raise Broken(f"no cache.pub in what is trusted: {exc}", code="provision.trust") from exc
    config = f"sandbox = true\\nsandbox-fallback = false\\nextra-trusted-public-keys = {key}"
    _drop_in("nix-daemon", [f'Environment="NIX_CONFIG={config}"'])
    return {"caches": caches, "trusted_public_keys": [key]}


def _documents(directory: Path, documents: dict[str, dict[str, Any]], names: tuple[str, ...]) -> None:
    for name in names:
        write_json(directory / f"{name}.json", documents[name])
        (directory / f"{name}.json").chmod(0o600 if name == "context" else 0o644)


def _inventory(executors: list[str]) -> dict[str, Any]:
    document, now = local_inventory(executors[0], datetime.now(UTC)), datetime.now(UTC)
    document["metadata"]["name"] = "fleet"
    nodes = [
        local_inventory(name, now)["executors"][0] | {"sshRef": name, "trustZone": "default"} for name in executors
    ]
    return document | {"builders": nodes, "executors": nodes}


def _credential(name: str) -> str:
    return f"LoadCredential={name}:/etc/agentplane/keys/{name}"


def _drop_in(unit: str, lines: list[str]) -> None:
    """What this host's unit has beside its file; sorts behind the drop-ins that the installation brings."""
    path = UNITS / f"{unit}.service.d" / "provisioned.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["[Service]", *lines]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
