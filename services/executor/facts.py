"""What this host is and gives: read from the host at each heartbeat, cut to the configured limits.

Backends and acceleration are probed once at start (`agentplane.runners`), never assumed; versions are read once.
"""

import os
import platform
from pathlib import Path
from typing import Final

import msgspec

from agentplane import secretrefs
from agentplane.runs.model import Resources
from agentplane.runs.protocol import Acceleration, ExecutorFacts
from services.executor.config import ExecutorSettings
from services.executor.durable import disk_errors

MEBIBYTE: Final = 1 << 20


class Probed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out at start."""

    backends: tuple[str, ...]
    kvm: Acceleration
    versions: dict[str, str]


def boot_id() -> str:
    """The kernel's name for this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def memory_mib() -> int:
    """All memory of the host."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def free_disk_mib(path: Path) -> int:
    """Space left for this process on the file system of `path`. Raises as `durable.disk_errors`."""
    with disk_errors(path):
        status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // MEBIBYTE


def total_resources(settings: ExecutorSettings, free_mib: int) -> Resources:
    """What all guests together may take; no disk at all when only the reserve is left."""
    limits = settings.limits
    spare = max(0, free_mib - limits.disk_reserve_mib)
    return Resources(
        vcpus=_cut(len(os.sched_getaffinity(0)), limits.vcpus),
        memory_mib=_cut(memory_mib(), limits.memory_mib),
        disk_mib=_cut(spare, limits.disk_mib),
    )


def executor_facts(settings: ExecutorSettings, probed: Probed, total: Resources, *, draining: bool) -> ExecutorFacts:
    """What a heartbeat says of this host."""
    return ExecutorFacts(
        os=platform.system().lower(),
        arch=platform.machine(),
        backends=probed.backends,
        networks=("none",),
        kvm=probed.kvm,
        vcpus=total.vcpus,
        memory_mib=total.memory_mib,
        disk_mib=total.disk_mib,
        secrets=secretrefs.available(settings.secrets_dir),
        draining=draining,
        versions=probed.versions,
    )


def _cut(found: int, limit: int | None) -> int:
    return found if limit is None else min(found, limit)
