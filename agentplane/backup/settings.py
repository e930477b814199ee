"""What `agentplane backup --config` is told on a host that systemd runs: one JSON file, checked whole."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from agentplane.daemon.config import AbsolutePath, Port, Settings
from agentplane.ids import DNS_LABEL


def _executor_name(value: str) -> str:
    if not DNS_LABEL.fullmatch(value):
        raise ValueError("must be a DNS label: a-z, 0-9 and '-', at most 63")
    return value


class DatabaseSettings(Settings):
    """A control host's PostgreSQL, over its socket as the account it trusts there."""

    socket_dir: AbsolutePath = Path("/run/postgresql")  # the directory of PostgreSQL's socket
    port: Port = 5432  # which names the socket
    database: str = "agentplane"  # the record's


class ExecutorPart(Settings):
    """An executor host's state."""

    name: Annotated[str, AfterValidator(_executor_name)]  # the executor's, as in the inventory
    state_dir: AbsolutePath  # as in its own settings


class BackupSettings(Settings):
    """All of it. A host may be control host, executor, or both; a backup is of one of them."""

    directory: AbsolutePath  # each backup is a new directory in it, named by its time
    keep: Annotated[int, Field(ge=1, le=10_000)] = 14  # older ones are removed after a new one is whole
    trusted_keys_dir: AbsolutePath  # control*.pub and executors/<name>.pub: public keys that verify what is copied
    files: tuple[AbsolutePath, ...] = ()  # public configuration that is kept beside it; never a key
    database: DatabaseSettings | None = None
    executor: ExecutorPart | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.database is None) == (self.executor is None):
            raise ValueError("name either database (a control host) or executor")
        return self
