"""What a backup is taken of: a stack in a state directory, a control host, or an executor host. Opens nothing."""

from pathlib import Path
from typing import Final, Literal

import msgspec

from agentplane.backup.settings import BackupSettings, DatabaseSettings
from agentplane.errors import Refused
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports
from agentplane.stack.provision import EXECUTOR, conninfo
from agentplane.store import roles

Of = Literal["stack", "control", "executor"]
SECRET_DIRECTORIES: Final = ("keys", "nkeys", "secrets")  # of a stack; passwords are made anew by a restore


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """A running PostgreSQL, over its socket."""

    socket: Path
    port: int
    passfile: Path | None  # None: peer authentication
    conninfo: str  # of the log's database


class ExecutorState(msgspec.Struct, frozen=True, kw_only=True):
    """An executor's state directory."""

    name: str
    directory: Path


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that goes into one backup."""

    of: Of
    cluster: Cluster | None
    executor: ExecutorState | None
    trusted: Path  # public keys only
    files: tuple[Path, ...]  # public configuration
    secrets: tuple[Path, ...]  # directories, copied on demand


def stack_source(layout: Layout) -> Source:
    """A stack. Raises Refused: `backup.no-stack`."""
    ports = load_ports(layout.ports)
    if ports is None or not layout.context.exists():
        raise Refused(f"there is no stack in {layout.root}", code="backup.no-stack", hint="name it with --state-dir")
    cluster = Cluster(
        socket=layout.postgres / "socket",
        port=ports["postgres"],
        passfile=layout.passfiles / "postgres",
        conninfo=conninfo(layout, ports["postgres"], roles.OWNER),
    )
    return Source(
        of="stack",
        cluster=cluster,
        executor=ExecutorState(name=EXECUTOR, directory=layout.executor),
        trusted=layout.trusted_keys,
        files=tuple(sorted(layout.config.glob("*.json"))),
        secrets=tuple(layout.root / name for name in SECRET_DIRECTORIES),
    )


def host_source(settings: BackupSettings) -> Source:
    """A host as its configuration says."""
    return Source(
        of="control" if settings.database else "executor",
        cluster=None if settings.database is None else _cluster(settings.database),
        executor=None
        if settings.executor is None
        else ExecutorState(name=settings.executor.name, directory=settings.executor.state_dir),
        trusted=settings.trusted_keys_dir,
        files=settings.files,
        secrets=(),
    )


def _cluster(database: DatabaseSettings) -> Cluster:
    where = f"host={database.socket_dir} port={database.port}"
    return Cluster(
        socket=database.socket_dir,
        port=database.port,
        passfile=None,
        conninfo=f"{where} dbname={database.database} user=postgres",
    )
