"""Everything a stack needs before its processes start: keys, users, passwords, configuration. Repeatable.

What is secret is made here, once, in files of mode 0600 below the state directory, and is never printed or passed on.
"""

import asyncio
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agentplane.bus import accounts, nkeys
from agentplane.bus.callout import Issuer
from agentplane.errors import Conflict, Refused
from agentplane.evidence.edge import generate_key_pair
from agentplane.stack.layout import Layout
from agentplane.stack.postgres import read_password, write_passfile
from agentplane.store import migrate, roles

EXECUTOR = "exec-local"
TENANT = "default"
DATABASE = "agentplane"
NKEY_ROLES = ("control", "watcher", "projector", "executor", "user")
ISSUER = "issuer.nkey"  # of the account whose signature lets executors onto the bus


def prepare_root(layout: Layout) -> None:
    """Make the state directory ours. Raises Refused (`stack.owner`, `stack.directory`)."""
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
        owner = layout.root.stat().st_uid
        if owner != os.geteuid():
            raise Refused(
                f"{layout.root} belongs to user {owner}", code="stack.owner", hint="use a --state-dir of your own"
            )
        layout.root.chmod(0o711)  # PostgreSQL's user must pass through
        for each in (
            layout.keys,
            layout.nkeys,
            layout.passfiles,
            layout.secrets,
            layout.config,
            layout.logs,
            layout.nats,
        ):
            each.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise Refused(f"cannot use {layout.root}: {exc.strerror}", code="stack.directory") from exc


def make_keys(layout: Layout) -> None:
    """Signing keys of control and the executor, and the directory of public keys that verifiers trust."""
    (layout.trusted_keys / "executors").mkdir(parents=True, exist_ok=True)
    for name, public in (("control", "control.pub"), (EXECUTOR, f"executors/{EXECUTOR}.pub")):
        with suppress(Conflict):  # made before
            generate_key_pair(layout.keys, name)
        shutil.copyfile(layout.keys / f"{name}.pub", layout.trusted_keys / public)


def nats_configuration(layout: Layout, ports: Mapping[str, int]) -> str:
    """nats-server.conf with one nkey user per role; about executors it asks control, so that any can join."""
    public = {role: nkeys.create_seed_file(layout.nkeys / f"{role}.nkey") for role in NKEY_ROLES}
    (layout.trusted_keys / "executors" / f"{EXECUTOR}.bus").write_text(public["executor"] + "\n")
    nkeys.create_account_seed_file(layout.nkeys / ISSUER)
    users = (
        accounts.control(public["control"]),
        accounts.projector(public["projector"]),
        accounts.person(public["user"], TENANT, "local", operator=True),
    )
    issuer = Issuer(bytes(nkeys.read_seed(layout.nkeys / ISSUER))).public_key
    server = accounts.ServerConfig(
        port=ports["nats"],
        store_dir=str(layout.nats),
        monitor_port=ports["monitor"],
        callout=accounts.Callout(issuer=issuer, watcher=accounts.watcher(public["watcher"])),
    )
    return accounts.render(server, users)


def make_passwords(layout: Layout, port: int) -> dict[str, str]:
    """One password per database role, kept in libpq password files."""
    passwords = {}
    for role in roles.ROLES:
        path = layout.passfiles / role
        password = read_password(path) if path.exists() else secrets.token_hex(24)
        write_passfile(path, port, role, password)
        passwords[role] = password
    return passwords


def conninfo(layout: Layout, port: int, role: str, database: str = DATABASE) -> str:
    """A libpq connection string that names a password file, never a password."""
    return f"host=127.0.0.1 port={port} dbname={database} user={role} passfile={layout.passfiles / role}"


async def _database(layout: Layout, port: int, passwords: Mapping[str, str]) -> None:
    admin = f"host={layout.postgres / 'socket'} port={port} dbname=postgres user=postgres"
    await roles.bootstrap(f"{admin} passfile={layout.passfiles / 'postgres'}", database=DATABASE, passwords=passwords)
    await migrate.migrate(conninfo(layout, port, roles.OWNER))


def make_database(layout: Layout, port: int) -> None:
    """Roles, database and schema, by a running server."""
    asyncio.run(_database(layout, port, make_passwords(layout, port)))


def write_json(path: Path, document: object) -> None:
    """A configuration file, replaced as a whole."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.chmod(0o600)
    temporary.replace(path)
