"""Control groups of one run, version 1 and 2: limits that bite, or are reported as not enforced; never pretended.

Used by the shim: standard library only. Below the caller's own group, so that what limits the caller limits the run.
Version 2 allows limits only below a group without processes of its own: under systemd the shim starts in a scope
with `Delegate=yes` (see `scope_prefix`) and first moves itself into a leaf.
Source: Linux Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

import contextlib
import errno
import os
import signal
import time
from typing import Final, NamedTuple

CONTROLLERS: Final = ("memory", "cpu", "pids")
_PERIOD_US: Final = 100_000
_LEAF: Final = "agentplane-supervisor"


class Group(NamedTuple):
    """Where a run's processes are kept. `enforced` names the limits that bite."""

    version: int  # 0: there is none
    directories: dict[str, str]  # controller -> directory; version 2 has one for all
    enforced: tuple[str, ...]


NO_GROUP: Final = Group(0, {}, ())


def create(name: str, memory_bytes: int, cpu_percent: int, pids: int) -> Group:
    """Make the groups and set what this host lets us set."""
    bases = _bases(_read("/proc/self/mountinfo"), _read("/proc/self/cgroup"))
    if all(controller in bases for controller in CONTROLLERS):
        return _create_v1(bases, name, memory_bytes, cpu_percent, pids)
    if "" in bases:
        return _create_v2(bases[""], name, memory_bytes, cpu_percent, pids)
    return NO_GROUP


def adopt(directories: list[str]) -> Group:
    """The group that another shim made, to be emptied and removed."""
    version = 2 if len(directories) == 1 else 1
    return Group(version, {str(index): path for index, path in enumerate(directories)}, ())


def join(group: Group) -> None:
    """Put the calling process in; raises OSError where it may not."""
    for directory in sorted(set(group.directories.values())):
        _write(directory, "cgroup.procs", "0")


def oom_kills(group: Group) -> int:
    """How many of its processes the kernel killed because the memory limit was reached."""
    name = "memory.events" if group.version == 2 else "memory.oom_control"  # noqa: PLR2004 - cgroup version
    for line in _read(os.path.join(group.directories.get("memory", ""), name)).splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def peak_bytes(group: Group) -> int:
    """The most memory it ever held; 0 where the kernel does not tell."""
    name = "memory.peak" if group.version == 2 else "memory.max_usage_in_bytes"  # noqa: PLR2004 - cgroup version
    text = _read(os.path.join(group.directories.get("memory", ""), name)).strip()
    return int(text) if text.isdigit() else 0


def destroy(group: Group, timeout_s: float = 5.0) -> bool:
    """Kill whatever is inside and remove the group; False when something would not go."""
    until = time.monotonic() + timeout_s
    left = sorted(set(group.directories.values()))
    while left and time.monotonic() < until:
        for directory in left:
            _kill_all(directory)
        left = [directory for directory in left if not _removed(directory)]
        if left:
            time.sleep(0.01)  # the kernel has no event for an emptied version 1 group
    return not left


def scope_prefix(name: str) -> list[str]:
    """How to start a shim where systemd is PID 1: in a scope of its own, delegated, outside the executor's unit."""
    if not os.path.isdir("/run/systemd/system") or os.geteuid() != 0:
        return []
    return [
        *("systemd-run", "--scope", "--quiet", "--collect", "--slice=agentplane.slice"),
        *(f"--unit=agentplane-{name}", "--property=Delegate=yes", "--"),
    ]


def _bases(mountinfo: str, own: str) -> dict[str, str]:
    """Controller -> directory of the caller's own group; "" is the unified hierarchy."""
    paths = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.removeprefix("name=").split(","), path))
    bases: dict[str, str] = {}
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = tail.split(" ", 2)
        mounted = options.split()[-1].split(",") if kind == "cgroup" else [""] if kind == "cgroup2" else []
        for controller in (controller for controller in mounted if controller in paths):
            relative = os.path.relpath(paths[controller], root) if root != "/" else paths[controller].lstrip("/")
            bases.setdefault(controller, os.path.normpath(os.path.join(point, relative)))
    return bases


def _create_v1(bases: dict[str, str], name: str, memory_bytes: int, cpu_percent: int, pids: int) -> Group:
    values = {
        "memory": (
            ("memory", "memory.limit_in_bytes", memory_bytes),
            ("swap", "memory.memsw.limit_in_bytes", memory_bytes),
        ),
        "cpu": (("", "cpu.cfs_period_us", _PERIOD_US), ("cpu", "cpu.cfs_quota_us", cpu_percent * _PERIOD_US // 100)),
        "pids": (("pids", "pids.max", pids),),
    }
    directories, enforced = {}, []
    for controller, settings in values.items():
        directory = os.path.join(bases[controller], "agentplane", name)
        if not _made(directory):
            continue
        directories[controller] = directory
        enforced += [limit for limit, file, value in settings if _try(directory, file, str(value)) and limit]
    return Group(1 if directories else 0, directories, tuple(enforced))


def _create_v2(base: str, name: str, memory_bytes: int, cpu_percent: int, pids: int) -> Group:
    if not _delegate(base):
        return NO_GROUP
    directory = os.path.join(base, f"agentplane-{name}")
    try:
        os.mkdir(directory, 0o755)
    except OSError:
        return NO_GROUP
    settings = (
        ("memory", "memory.max", str(memory_bytes)),
        ("swap", "memory.swap.max", "0"),
        ("", "memory.oom.group", "1"),
        ("cpu", "cpu.max", f"{cpu_percent * _PERIOD_US // 100} {_PERIOD_US}"),
        ("pids", "pids.max", str(pids)),
    )
    enforced = tuple(limit for limit, file, value in settings if _try(directory, file, value) and limit)
    return Group(2, {"memory": directory}, enforced)


def _delegate(base: str) -> bool:
    """Let children of `base` have limits; the caller leaves for a leaf if it is in the way."""
    wanted = " ".join(f"+{controller}" for controller in CONTROLLERS)
    try:
        _write(base, "cgroup.subtree_control", wanted)
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            return False
        leaf = os.path.join(base, _LEAF)
        with contextlib.suppress(OSError):
            os.makedirs(leaf, exist_ok=True)
            _write(leaf, "cgroup.procs", "0")
        return _try(base, "cgroup.subtree_control", wanted)
    return True


def _made(directory: str) -> bool:
    """Make a version 1 group; the parent that all share may vanish under us when another run ends."""
    for _ in range(10):
        try:
            os.makedirs(directory, mode=0o755)
        except FileNotFoundError:
            continue
        except OSError:
            return False
        return True
    return False


def _kill_all(directory: str) -> None:
    if _try(directory, "cgroup.kill", "1"):
        return
    for pid in _read(os.path.join(directory, "cgroup.procs")).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    shared = os.path.dirname(directory)
    if os.path.basename(shared) == "agentplane":  # version 1: leave nothing in our caller's group
        with contextlib.suppress(OSError):
            os.rmdir(shared)
    return True


def _try(directory: str, file: str, value: str) -> bool:
    try:
        _write(directory, file, value)
    except OSError:
        return False
    return True


def _write(directory: str, file: str, value: str) -> None:
    fd = os.open(os.path.join(directory, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as source:
            return source.read()
    except OSError:
        return ""
