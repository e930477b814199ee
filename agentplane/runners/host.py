"""What a host lends its runs: programs, unprivileged users, headroom beyond the guest's own memory."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from agentplane.errors import Broken
from agentplane.runners.plan import Plan
from agentplane.runners.shim.contract import Channel, Limits, Users
from agentplane.runners.spare import Spare

# On top of the guest's own memory. Measured under TCG, QEMU 7.2: 70 MiB for a guest that used all of its memory and
# little code; a full translation cache (guests.qemu.TCG_CACHE_MIB) adds 128 MiB.
QEMU_OVERHEAD_MIB: Final = 224
PROCESS_OVERHEAD_MIB: Final = 16
QEMU_PIDS: Final = 64
PROCESS_PIDS: Final = 256
_EMULATION_CPU_PERCENT: Final = 50  # for QEMU's own thread beside the vCPUs


class Sockets(msgspec.Struct, frozen=True, kw_only=True):
    """Where systemd takes launches (runners.activation): a unit for virtual machines, one for processes."""

    machine: Path
    process: Path


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Where this executor keeps what runs share, and whom they run as."""

    state_dir: Path
    first_uid: int = 70_000  # outside people, DynamicUser, subordinate ids and containers (systemd UIDS-GIDS)
    uids: int = 64
    qemu: str = "qemu-system-x86_64"
    bubblewrap: str = "bwrap"
    sockets: Sockets | None = None  # None: shims are our own children
    spare: Spare | None = None  # of them one that waits


def program(name: str) -> str:
    """The absolute path of a host program. Raises Broken: code `host.missing-program`."""
    found = shutil.which(name)
    if found is None:
        raise Broken(
            f"{name} is not installed or not on PATH",
            code="host.missing-program",
            hint="agentplane doctor names the package",
        )
    return found


def users(host: Host, groups: Sequence[int] = ()) -> Users | None:
    """An unprivileged user per run where we may change users; None: the shim's own, which is unprivileged itself."""
    if os.geteuid() != 0 or host.sockets is not None:
        return None
    slots = str(host.state_dir / "uids")
    return {"first": host.first_uid, "count": host.uids, "slots": slots, "groups": list(groups)}


def limits(plan: Plan, memory_mib: int, pids: int) -> Limits:
    """What the control group of a run allows."""
    return {
        "group": f"{plan.run}-{plan.epoch}-{plan.attempt}",
        "memory_bytes": memory_mib << 20,
        "cpu_percent": plan.resources.vcpus * 100 + _EMULATION_CPU_PERCENT,
        "pids": pids,
    }


def channel(name: str, cap_bytes: int, *fds: int, pipe: bool) -> Channel:
    """One stream of a program."""
    return {"name": name, "fds": list(fds), "pipe": pipe, "cap_bytes": cap_bytes}
