"""Tries a host's guest units out: the probe guest, and a sandbox, behind the very units that runs get.

For an executor that starts nothing itself and sees no /dev/kvm (runners.activation). Elsewhere `runners.probe` boots
the probe as its own child.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agentplane.errors import Broken
from agentplane.guests.qemu import Accelerator, probe_command
from agentplane.guests.spec import ProbeSpec
from agentplane.runners import activation
from agentplane.runners import host as hosts
from agentplane.runners.host import Host, channel
from agentplane.runners.plan import Ending
from agentplane.runners.shim.contract import CONSOLE, Launch
from agentplane.runs.protocol import Acceleration
from agentplane.runs.states import Outcome

_EVENTS_FD: Final = 3
_RESULT_FD: Final = 4  # nothing comes; every shim drains one
_OUTPUT_BYTES: Final = 1 << 20
_SANDBOX_S: Final = 10.0
_SANDBOX_MIB: Final = 64
_STOP_S: Final = 2.0
_PHASES: Final = "".join(
    f"echo '{event}' >&{_EVENTS_FD}; "
    for event in ('{"event":"started"}', '{"event":"exited","code":0}', '{"event":"finished"}')
)


def boot_probe(host: Host, unit: Path, probe: ProbeSpec, accelerator: Accelerator, deadline_s: float) -> Acceleration:
    """Boot the probe guest to its sentinel, as `runners.probe.Probe.boot` does.

    Raises:
        Transient: code `runner.socket`.
        Broken: code `runner.launch`.
    """
    memory_mib = probe.machine.min_memory_mib + hosts.QEMU_OVERHEAD_MIB
    argv = probe_command(hosts.program(host.qemu), probe, accelerator)
    with _directory(host) as directory:
        ending = _run(directory, unit, _launch("probe", argv, memory_mib, deadline_s))
        said = (directory / CONSOLE).read_bytes()
    if probe.sentinel.encode() in said:
        return Acceleration(usable=True, cause="ok")
    return Acceleration(usable=False, cause=_cause(ending, accelerator, deadline_s))


def try_sandbox(host: Host, unit: Path) -> None:
    """Make a sandbox as the process runner does. Raises Broken: code `host.sandbox`; and as `boot_probe`."""
    argv = [
        *(hosts.program(host.bubblewrap), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"),
        *("--hostname", "sandbox", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"),
        *("--", hosts.program("sh"), "-c", _PHASES),
    ]
    with _directory(host) as directory:
        ending = _run(directory, unit, _launch("sandbox", argv, _SANDBOX_MIB, _SANDBOX_S))
    if ending.outcome is not Outcome.EXITED:
        raise Broken(
            f"no sandbox can be made in its unit: {ending.message}",
            code="host.sandbox",
            hint="are unprivileged user namespaces enabled here?",
        )


@contextmanager
def _directory(host: Host) -> Iterator[Path]:
    """A launch directory that nobody will ask for again."""
    parent = host.state_dir / "trials"
    shutil.rmtree(parent, ignore_errors=True)  # of a process that was killed meanwhile
    parent.mkdir(mode=0o700, parents=True)
    yield Path(tempfile.mkdtemp(dir=parent))
    shutil.rmtree(parent, ignore_errors=True)


def _run(directory: Path, unit: Path, launch: Launch) -> Ending:
    with activation.connection(unit) as link:
        handle = activation.hand_over(link, directory, launch, [])
    try:
        ending = handle.wait()
    finally:
        handle.close()
    assert ending is not None  # noqa: S101 - `wait` without a timeout always answers
    return ending


def _launch(name: str, argv: list[str], memory_mib: int, deadline_s: float) -> Launch:
    return {
        "run": name,
        "tenant": "",
        "epoch": 0,
        "attempt": 1,
        "argv": argv,
        "environment": {},
        "channels": [
            channel("console", _OUTPUT_BYTES, 1, 2, pipe=True),
            channel("events", _OUTPUT_BYTES, _EVENTS_FD, pipe=True),
            channel("result", _OUTPUT_BYTES, _RESULT_FD, pipe=True),
        ],
        "files": {},
        "secrets": [],
        "scratch": None,
        "users": None,
        "limits": {
            "group": f"trial-{name}",
            "memory_bytes": memory_mib << 20,
            "cpu_percent": 200,
            "pids": hosts.QEMU_PIDS,
        },
        "boot_timeout_s": deadline_s,
        "deadline_s": deadline_s,
        "collect_timeout_s": deadline_s,
        "stop_timeout_s": _STOP_S,
    }


def _cause(ending: Ending, accelerator: Accelerator, deadline_s: float) -> str:
    """In the words of `runners.probe`; what QEMU says of a device that is not there or closed has words of its own."""
    if ending.stalled:
        return f"hang: no guest within {deadline_s:g} s under {accelerator}; {ending.message}"
    for kind, word in (("absent", "No such file or directory"), ("denied", "Permission denied")):
        if accelerator == "kvm" and word in ending.message:
            return f"{kind}: {ending.message}"
    return f"abort: {ending.message}"
