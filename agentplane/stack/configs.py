"""The configuration of each daemon in a stack, as documents. Pure but for the paths it names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentplane.runners.kit import Kit
from agentplane.stack.layout import Layout
from agentplane.stack.provision import DATABASE, EXECUTOR, ISSUER, TENANT
from agentplane.store import roles

Document = dict[str, Any]


def documents(layout: Layout, ports: Mapping[str, int], kit: Kit) -> dict[str, Document]:
    """Configuration by daemon name."""
    return {
        "control": _control(layout, ports),
        "projector": _projector(layout, ports),
        "executor": _executor(layout, ports, kit),
    }


def context(layout: Layout, ports: Mapping[str, int]) -> Document:
    """What the command line reads (agentplane.cli.context)."""
    return {
        "tenant": TENANT,
        "servers": [_server(ports)],
        "nkey_seed_file": str(layout.nkeys / "user.nkey"),
        "trusted_keys_dir": str(layout.trusted_keys),
    }


def _server(ports: Mapping[str, int]) -> str:
    return f"nats://127.0.0.1:{ports['nats']}"


def _nats(layout: Layout, ports: Mapping[str, int], role: str) -> Document:
    return {"servers": [_server(ports)], "nkey_seed_file": str(layout.nkeys / f"{role}.nkey")}


def _postgres(layout: Layout, ports: Mapping[str, int], role: str) -> Document:
    return {
        "conninfo": f"host=127.0.0.1 port={ports['postgres']} dbname={DATABASE} user={role}",
        "passfile": str(layout.passfiles / role),
    }


def _control(layout: Layout, ports: Mapping[str, int]) -> Document:
    return {
        "nats": _nats(layout, ports, "control"),
        "metrics_port": ports["control-metrics"],
        "postgres": _postgres(layout, ports, roles.APPEND),
        "signing_key_file": str(layout.keys / "control.key"),
        "executor_keys_dir": str(layout.trusted_keys),
        "inventory_file": str(layout.config / "inventory.json"),
        "tenants": [TENANT],
        "joining": {
            "issuer_seed_file": str(layout.nkeys / ISSUER),
            "watcher_nkey_seed_file": str(layout.nkeys / "watcher.nkey"),
        },
    }


def _projector(layout: Layout, ports: Mapping[str, int]) -> Document:
    return {
        "nats": _nats(layout, ports, "projector"),
        "metrics_port": ports["projector-metrics"],
        "postgres": _postgres(layout, ports, roles.PROJECT),
        "read_postgres": _postgres(layout, ports, roles.READ),
        "mirror": {"directory": str(layout.mirror)},
    }


def _executor(layout: Layout, ports: Mapping[str, int], kit: Kit) -> Document:
    return {
        "name": EXECUTOR,
        "state_dir": str(layout.executor),
        "nats": _nats(layout, ports, "executor"),
        "metrics_port": ports["executor-metrics"],
        "signing_key_file": str(layout.keys / f"{EXECUTOR}.key"),
        "control_public_key_file": str(layout.trusted_keys / "control.pub"),
        "vm_kit": str(kit.root),
        "kernel_deb": str(kit.kernel_deb) if kit.kernel_deb else None,
        "secrets_dir": str(layout.secrets),
    }


def joining_executor(
    like: Document, ports: Mapping[str, int], *, name: str, state_dir: Path, token_file: Path
) -> Document:
    """An executor beside the first one, with keys of its own making. `like`: the first one's configuration."""
    given = {key: value for key, value in like.items() if key not in {"signing_key_file", "metrics_port"}}
    return {
        **given,
        "name": name,
        "state_dir": str(state_dir),
        "nats": {"servers": [_server(ports)]},
        "join": {"token_file": str(token_file)},
    }
