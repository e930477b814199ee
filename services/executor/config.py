"""The executor's configuration: one JSON file, checked whole before anything starts (agentplane.daemon.config)."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from agentplane.daemon.config import AbsolutePath, DaemonSettings, NatsSettings, Settings
from services.executor.bundles import Bundles

KEYS: Final = "keys"
SIGNING_KEY: Final = "executor.key"
NATS_SEED: Final = "nats.nkey"
Mebibytes = Annotated[int, Field(ge=1, le=1 << 24)]
Bytes = Annotated[int, Field(ge=1, le=1 << 40)]


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError("must be a DNS label: a-z, 0-9 and '-', at most 63")
    return value


class Limits(Settings):
    """What this host gives to guests, all together. None: all that the host has."""

    slots: Annotated[int, Field(ge=1, le=1024)] = 64  # guests at once; the resources below bind long before
    vcpus: Annotated[int, Field(ge=1, le=4096)] | None = None  # virtual processors
    memory_mib: Mebibytes | None = None  # memory
    disk_mib: Mebibytes | None = None  # disk
    disk_reserve_mib: Mebibytes = 256  # kept free for journals and reports; below it, no new runs


class UidRange(Settings):
    """Users that QEMU runs as: one of `count` from `first`, a run each. They own nothing else on the host."""

    first: Annotated[int, Field(ge=1000, le=4_000_000_000)] = 620_000  # the lowest
    count: Annotated[int, Field(ge=1, le=65_536)] = 1024  # how many


class Guests(Settings):
    """The sockets by which systemd starts guests for an executor that has no privileges itself (docs/adr/0010)."""

    socket: AbsolutePath  # of agentplane-guest.socket: virtual machines
    process_socket: AbsolutePath | None = None  # of agentplane-process.socket; None: beside the other, process.sock


class Caps(Settings):
    """Bounds on what a guest may hand to its host."""

    console_bytes: Bytes = 8 << 20  # kept per run
    console_bytes_per_second: Bytes = 256 << 10  # published live; what exceeds it stays in the file only
    artifact_bytes: Bytes = 256 << 20  # a run's files together
    artifact_files: Annotated[int, Field(ge=1, le=100_000)] = 2000  # how many of them
    keep_runs: Annotated[int, Field(ge=0, le=1_000_000)] = 200  # finished and committed runs kept for `get`


class JoinSettings(Settings):
    """How this host gets into the fleet, the first time."""

    token_file: AbsolutePath | None = None  # a one-time token; None, or no such file: an operator approves it


class ExecutorSettings(DaemonSettings):
    """All of it. Paths are absolute; the files need not exist while the configuration is only checked.

    Keys that are not named are the executor's own, made at first start below `state_dir`.
    """

    name: Annotated[str, AfterValidator(_name)]  # as in the inventory; a DNS label
    state_dir: AbsolutePath  # journal, runs, guests: what a restart finds again
    nats: NatsSettings
    join: JoinSettings = JoinSettings()
    signing_key_file: AbsolutePath = None  # type: ignore[assignment]  # filled in below; Ed25519 private key, mode 0600
    control_public_key_file: AbsolutePath  # assignments must be signed by it
    vm_kit: AbsolutePath  # the directory with vm/default.nix
    kernel_deb: AbsolutePath | None = None  # the guest kernel's Debian package, on a host without nixpkgs
    # what this host offers: virtual machines, sandboxed processes
    backends: Annotated[tuple[Literal["microvm", "process"], ...], Field(min_length=1)] = ("microvm", "process")
    limits: Limits = Limits()
    secrets_dir: AbsolutePath | None = None  # secrets://a/b + NAME is the file a/b/NAME in here
    qemu_uids: UidRange = UidRange()
    guests: Guests | None = None  # None: the executor starts guests itself, as its children
    # once it was revoked or retired, and knows it: until its guests are stopped; None: they run to their own limit
    dismissed_grace_seconds: Annotated[int, Field(ge=0, le=86_400)] | None = 60
    caps: Caps = Caps()
    bundles: Bundles = Bundles()

    @model_validator(mode="before")
    @classmethod
    def _own_keys(cls, value: object) -> object:
        """Where a key is not named, its place below the state directory."""
        if not isinstance(value, dict) or not isinstance(value.get("state_dir"), str | Path):
            return value
        current = Path(value["state_dir"]) / KEYS / "current"
        filled = {"signing_key_file": current / SIGNING_KEY, **value}
        nats = value.get("nats")
        if isinstance(nats, dict) and nats.get("nkey_seed_file") is None:
            filled["nats"] = {**nats, "nkey_seed_file": current / NATS_SEED}
        return filled

    @property
    def keys_dir(self) -> Path:
        """Where its own keys are."""
        return self.state_dir / KEYS

    @property
    def own_signing_key(self) -> bool:
        """Whether it signs with a key that it made itself."""
        return self.signing_key_file == self.keys_dir / "current" / SIGNING_KEY

    @property
    def own_nkey(self) -> bool:
        """Whether it connects with a key that it made itself."""
        return self.nats.nkey_seed_file == self.keys_dir / "current" / NATS_SEED
