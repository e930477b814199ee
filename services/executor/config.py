"""The executor's configuration: one JSON file, checked whole before anything starts (agentplane.daemon.config)."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from agentplane.daemon.config import AbsolutePath, DaemonSettings, NatsSettings, Settings
from services.executor.bundles import Bundles

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


class ExecutorSettings(DaemonSettings):
    """All of it. Paths are absolute; the files need not exist while the configuration is only checked."""

    name: Annotated[str, AfterValidator(_name)]  # as in the inventory; a DNS label
    state_dir: AbsolutePath  # journal, runs, guests: what a restart finds again
    nats: NatsSettings
    signing_key_file: AbsolutePath  # Ed25519 private key, mode 0600
    control_public_key_file: AbsolutePath  # assignments must be signed by it
    vm_kit: AbsolutePath  # the directory with vm/default.nix
    kernel_deb: AbsolutePath | None = None  # the guest kernel's Debian package, on a host without nixpkgs
    # what this host offers: virtual machines, sandboxed processes
    backends: Annotated[tuple[Literal["microvm", "process"], ...], Field(min_length=1)] = ("microvm", "process")
    limits: Limits = Limits()
    secrets_dir: AbsolutePath | None = None  # secrets://a/b + NAME is the file a/b/NAME in here
    qemu_uids: UidRange = UidRange()
    guests: Guests | None = None  # None: the executor starts guests itself, as its children
    caps: Caps = Caps()
    bundles: Bundles = Bundles()
