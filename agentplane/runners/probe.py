"""Whether KVM carries a real guest here: found out by booting one, never by opening /dev/kvm.

On some cloud machines /dev/kvm opens, makes a vCPU and runs real-mode code, and yet a guest kernel hangs or QEMU
aborts. So the guests' own kernel is booted under KVM until it says the sentinel, with a deadline. The answer holds
for one boot of the host, one kernel and one QEMU.
"""

import hashlib
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Final, TypedDict

import msgspec

from agentplane.guests.qemu import Accelerator, probe_command
from agentplane.guests.spec import ProbeSpec, parse_probe
from agentplane.runners.command import last_lines, run
from agentplane.runners.host import Host, program
from agentplane.runners.shim.state import boot_id, write_json
from agentplane.runners.trial import boot_probe
from agentplane.runs.model import StorePath
from agentplane.runs.protocol import Acceleration

DEADLINE_S: Final = 4.0
_KVM: Final = Path("/dev/kvm")
_KVM_CLASS: Final = Path("/sys/class/misc/kvm")  # is there when the kernel has KVM, whoever sees the device
_PROBE_UID: Final = 69_999  # below those of runs, see runners.host
_MAX_OUTPUT_BYTES: Final = 1 << 20


class Probe:
    """Probes this host, and remembers."""

    def __init__(
        self,
        state_dir: Path,
        qemu: str = "qemu-system-x86_64",
        *,
        deadline_s: float = DEADLINE_S,
        units: Host | None = None,
    ) -> None:
        """`units`: a host with sockets, whose guest unit boots the probe; None: this process does, as its child."""
        self._directory = state_dir / "probes"
        self._qemu = qemu
        self._deadline_s = deadline_s
        self._units = units if units and units.sockets else None

    def qemu_version(self) -> str:
        """As QEMU says it, e.g. `7.2.22`. Raises Broken: code `host.missing-program`."""
        text = run([program(self._qemu), "--version"], timeout_s=10, code="host.qemu").text
        return text.split("version ", 1)[-1].split()[0]

    def kvm(self, spec: StorePath) -> Acceleration:
        """Whether guests of this kit's kernel boot under KVM; probes when nothing is remembered.

        Raises:
            Refused: code `guest.spec`, `spec` is no probe.
            Broken: QEMU is not there.
        """
        if not (_KVM_CLASS if self._units else _KVM).exists():
            return Acceleration(usable=False, cause="absent: there is no /dev/kvm")
        if self._units is None and not os.access(_KVM, os.R_OK | os.W_OK):
            return Acceleration(usable=False, cause="denied: this user may not open /dev/kvm")
        probe = parse_probe(Path(spec.path).read_bytes())
        record = self._record(probe)
        if record.exists():
            return msgspec.json.decode(record.read_bytes(), type=Acceleration)
        answer = self.boot(probe, "kvm", self._deadline_s)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_json(str(self._directory), record.name, msgspec.to_builtins(answer))
        return answer

    def boot(self, probe: ProbeSpec, accelerator: Accelerator, deadline_s: float) -> Acceleration:
        """Boot the probe guest to its sentinel. Its cause is `ok`, `hang: …` or `abort: …`."""
        if self._units is not None and self._units.sockets is not None:
            return boot_probe(self._units, self._units.sockets.machine, probe, accelerator, deadline_s)
        argv = probe_command(program(self._qemu), probe, accelerator)
        qemu = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **_identity(accelerator)
        )
        try:
            said, ended = _listen(qemu, probe.sentinel.encode(), deadline_s)
        finally:
            qemu.kill()
            qemu.wait()
            if qemu.stdout is not None:
                qemu.stdout.close()
        return _answer(probe, accelerator, said, deadline_s, qemu.returncode if ended else None)

    def _record(self, probe: ProbeSpec) -> Path:
        key = f"{boot_id()}\n{probe.kernel}\n{probe.initrd}\n{self.qemu_version()}"
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


class _Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _identity(accelerator: Accelerator) -> _Identity:
    """QEMU is nobody in particular here as well, where we may change users."""
    if os.geteuid() != 0:
        return {}
    groups = [_KVM.stat().st_gid] if accelerator == "kvm" else []
    return {"user": _PROBE_UID, "group": _PROBE_UID, "extra_groups": groups}


def _listen(qemu: "subprocess.Popen[bytes]", sentinel: bytes, deadline_s: float) -> tuple[bytes, bool]:
    """What the guest said until the sentinel, the end or the deadline; and whether it ended by itself."""
    assert qemu.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
    until, said = time.monotonic() + deadline_s, b""
    while sentinel not in said and len(said) < _MAX_OUTPUT_BYTES:
        left = until - time.monotonic()
        if left <= 0 or not select.select([qemu.stdout], [], [], left)[0]:
            return said, False
        data = os.read(qemu.stdout.fileno(), 1 << 16)
        if not data:
            qemu.wait()
            return said, True
        said += data
    return said, False


def _answer(
    probe: ProbeSpec, accelerator: Accelerator, said: bytes, deadline_s: float, status: int | None
) -> Acceleration:
    if probe.sentinel.encode() in said:
        return Acceleration(usable=True, cause="ok")
    last = last_lines(said).rsplit("\n", 1)[-1]
    words = f"; it last said: {last}" if last else ""
    if status is None:
        return Acceleration(usable=False, cause=f"hang: no guest within {deadline_s:g} s under {accelerator}{words}")
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return Acceleration(usable=False, cause=f"abort: QEMU ended with {how} under {accelerator}{words}")
