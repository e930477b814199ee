"""Machines of a testbed: Debian roots booted by systemd-nspawn, joined by a bridge. Stdlib only; as root.

Whoever uses this runs in network, mount and process namespaces of its own (scripts/testbed.sh hosts makes them): the
bridge, the overlays and every process end with those, whatever happens.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

BRIDGE: Final = "testbed0"
NETWORK: Final = "10.77.0"
_PATIENCE_S: Final = 90.0
_LOOK_AGAIN_S: Final = 0.1
_POWER_CUT_S: Final = 10.0
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "AGENTPLANE_STATE_DIR": "/etc/agentplane",
}
# the machine's first process goes into a control group of its own: else all three systemds would manage the same one
_OWN_GROUP: Final = """
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -w "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy/$0" && echo $$ >"$hierarchy/$0/cgroup.procs"
done
exec "$@"
"""


class Wrong(Exception):
    """Something is not as it should be."""


def say(words: str) -> None:
    """Tell whoever looks on."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def until(what: str, holds: Callable[[], Any], *, patience_s: float = _PATIENCE_S) -> Any:
    """What `holds` answers once it is true: of states that have no event of their own. Raises Wrong."""
    deadline = time.monotonic() + patience_s
    while not (answer := holds()):
        if time.monotonic() > deadline:
            raise Wrong(what)
        time.sleep(_LOOK_AGAIN_S)
    return answer


def bridge() -> None:
    """The cable between the machines."""
    for words in (f"link add {BRIDGE} type bridge", f"link set {BRIDGE} up", "link set lo up"):
        subprocess.run(["ip", *words.split()], check=True)


class Machine:
    """One host: its root is an overlay over the cached one, and stays over its reboots."""

    def __init__(self, name: str, number: int, *, debian: Path, work: Path, group: str) -> None:
        """`work`: a directory on a file system of this namespace's own; `group`: a name that no other testbed has."""
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self.root = work / name / "root"
        self.debian = debian
        self._console = work / name / "console"
        self._group = f"{group}/{name}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0
        for part in ("root", "upper", "work"):
            (work / name / part).mkdir(parents=True)
        layers = f"lowerdir={debian},upperdir={work / name / 'upper'},workdir={work / name / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(self.root)], check=True)

    def boot(self, others: Mapping[str, str]) -> None:
        """Start it, and return when it serves; `others`: addresses by name."""
        hosts = "".join(f"{address} {name}\n" for name, address in others.items())
        (self.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
        (self.root / "etc" / "hostname").write_text(f"{self.name}\n")
        lib = self.debian / "usr/lib/x86_64-linux-gnu"
        loader = self.debian / "usr/lib64/ld-linux-x86-64.so.2"
        nspawn = [str(loader), "--library-path", f"{lib}:{lib}/systemd", str(self.debian / "usr/bin/systemd-nspawn")]
        nspawn += ["-q", "-D", str(self.root), "--boot", "--register=no", "--keep-unit", "--console=pipe"]
        nspawn += [f"--machine={self.name}", f"--network-bridge={BRIDGE}"]
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                ["sh", "-c", _OWN_GROUP, self._group, *nspawn],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # the sandboxes of Nix and bubblewrap mount a /proc; over a covered one the kernel does not let them
                env={**_ENVIRONMENT, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes"},
            )
        self._leader = until(f"{self.name} does not start: {self._console}", self._first_process)
        bus = Path(f"/proc/{self._leader}/root/run/systemd/private")
        until(f"{self.name} has no systemd: {self._console}", bus.exists)
        self.run(f"ip addr add {self.address}/24 dev host0 && ip link set host0 up")
        self.run("systemctl is-system-running --wait || true")

    def _first_process(self) -> int:
        nspawn = self._nspawn
        if nspawn is None or nspawn.poll() is not None:
            raise Wrong(f"{self.name} ended: {self._console.read_text(errors='replace')}")
        children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children").read_text().split()
        for pid in children:
            with suppress(OSError):
                ids = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "NSpid" in line)
                if ids.split()[-1] == "1":
                    return int(pid)
        return 0

    def argv(self, script: str) -> list[str]:
        """The command that has bash run `script` in there."""
        return ["nsenter", "-a", "-t", str(self._leader), "bash", "-euo", "pipefail", "-c", f"cd /root; {script}"]

    def run(self, script: str, *, check: bool = True, given: str = "") -> str:
        """What `script` prints. Raises Wrong when it fails, unless `check` is false."""
        done = subprocess.run(
            self.argv(script), input=given, capture_output=True, text=True, env=_ENVIRONMENT, check=False
        )
        if check and done.returncode:
            raise Wrong(f"{self.name}: {script}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def fails(self, script: str) -> str:
        """What a script prints that is to fail, both streams. Raises Wrong when it does not."""
        done = subprocess.run(self.argv(script), capture_output=True, text=True, env=_ENVIRONMENT, check=False)
        if done.returncode == 0:
            raise Wrong(f"{self.name}: {script}\nsucceeded\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def holds(self, script: str) -> bool:
        """Whether it ends well."""
        quiet = subprocess.DEVNULL
        return subprocess.call(self.argv(script), stdout=quiet, stderr=quiet, env=_ENVIRONMENT) == 0

    def json(self, script: str) -> Any:
        """What it prints, as JSON."""
        return json.loads(self.run(script))

    def start(self, script: str) -> subprocess.Popen[str]:
        """A command whose end somebody waits for later (`ended`)."""
        return subprocess.Popen(
            self.argv(script), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_ENVIRONMENT
        )

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run(f"systemctl show -P {name} {shlex.quote(unit)}").strip()

    def serves_anew(self, unit: str, than: str) -> bool:
        """Whether a unit runs, with another process than before."""
        pid = self.show(unit, "MainPID")
        return self.show(unit, "SubState") == "running" and pid not in ("0", than)

    def journal(self, unit: str = "") -> str:
        """What was said in there."""
        return self.run(f"journalctl -o short-monotonic --no-pager {f'-u {unit}' if unit else ''}")

    def configure(self, name: str, change: Callable[[Any], None]) -> None:
        """Change a file of /etc/agentplane."""
        path = self.root / "etc/agentplane" / f"{name}.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    def cut(self) -> None:
        """Pull its cable."""
        subprocess.run(["ip", "link", "set", f"vb-{self.name}", "down"], check=True)

    def mend(self) -> None:
        """Plug it in again."""
        subprocess.run(["ip", "link", "set", f"vb-{self.name}", "up"], check=True)

    @contextmanager
    def apart(self) -> Iterator[None]:
        """While it is cut off."""
        self.cut()
        try:
            yield
        finally:
            self.mend()

    def lose_power(self) -> None:
        """End all its processes at once, as a power cut does."""
        if self._leader:
            with suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
        if self._nspawn is not None:
            try:
                self._nspawn.wait(_POWER_CUT_S)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()

    def keep(self, out: Path) -> None:
        """Leave its journal and console in a directory."""
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{self.name}.console").write_bytes(self._console.read_bytes() if self._console.exists() else b"")
        with suppress(Wrong, OSError):
            (out / f"{self.name}.journal").write_text(self.journal())


def ended(waiting: subprocess.Popen[str]) -> str:
    """What a started command printed, once it ended well. Raises Wrong."""
    said = waiting.communicate()[0]
    if waiting.returncode:
        raise Wrong(f"{shlex.join(map(str, waiting.args[-1:]))}\n{said}")  # type: ignore[index]  # a list, as we gave it
    return said


def all_named(machines: Sequence[Machine]) -> dict[str, str]:
    """Addresses by name, as every machine knows them."""
    return {machine.name: machine.address for machine in machines}
