"""The process runner: a bundle without a virtual machine, in a bubblewrap sandbox, behind the same shim.

The sandbox sees its closure read-only, private /tmp and artifacts (bounded tmpfs), no network, no host file, no
capability. It hands its artifacts out as one tar through the same bounded parser as a guest. It shares the host's
kernel: policy decides where that is allowed. Not offered here: events of the workload's own, a disk for /scratch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agentplane.errors import Refused
from agentplane.guests.spec import ProcessSpec, parse_process
from agentplane.runners import activation
from agentplane.runners import host as hosts
from agentplane.runners.host import Host, channel
from agentplane.runners.launch import ShimHandle
from agentplane.runners.plan import Plan
from agentplane.runners.qemu import result_cap_bytes
from agentplane.runners.shim.contract import Launch

_EVENTS_FD: Final = 3  # one digit: all that a POSIX shell redirects
_RESULT_FD: Final = 4
_FIRST_SECRET_FD: Final = 20
_UID: Final = "1000"

# The same steps and events as a guest's init. What the workload leaves running ends with the sandbox's pid namespace.
_WRAPPER: Final = f"""
artifacts=$1 entry=$2
echo '{{"event":"booted"}}' >&{_EVENTS_FD}
echo '{{"event":"started"}}' >&{_EVENTS_FD}
code=0
"$entry" {_EVENTS_FD}>&- {_RESULT_FD}>&- || code=$?
echo "{{\\"event\\":\\"exited\\",\\"code\\":$code}}" >&{_EVENTS_FD}
tar -C "$artifacts" -c . >&{_RESULT_FD} && echo '{{"event":"finished"}}' >&{_EVENTS_FD}
exit $code
"""


class ProcessRunner:
    """Runs bundles as sandboxed processes."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def launch(self, plan: Plan, secrets: dict[str, bytes]) -> ShimHandle:
        """See `plan.Runner.launch`."""
        spec = parse_process(Path(plan.spec.path).read_bytes())
        missing = sorted(set(plan.secrets) - secrets.keys())
        if missing:
            raise Refused(f"no value for the secrets {', '.join(missing)}", code="guest.secrets")
        launch = self._launch(plan, spec)
        unit = self._host.sockets.process if self._host.sockets else None
        return activation.launch(plan, launch, [secrets[name] for name in plan.secrets], unit, self._host.spare)

    def _launch(self, plan: Plan, spec: ProcessSpec) -> Launch:
        memory_mib = plan.resources.memory_mib + hosts.PROCESS_OVERHEAD_MIB
        return {
            "run": plan.run,
            "tenant": plan.tenant,
            "epoch": plan.epoch,
            "attempt": plan.attempt,
            "argv": sandbox(hosts.program(self._host.bubblewrap), spec, plan),
            "environment": {},
            "channels": [
                channel("console", plan.caps.console_bytes, 1, 2, pipe=True),
                channel("events", plan.caps.events_bytes, _EVENTS_FD, pipe=True),
                channel("result", result_cap_bytes(plan), _RESULT_FD, pipe=True),
            ],
            "files": {},
            "secrets": [(name, _FIRST_SECRET_FD + index) for index, name in enumerate(plan.secrets)],
            "scratch": None,
            "users": hosts.users(self._host),
            "limits": hosts.limits(plan, memory_mib, hosts.PROCESS_PIDS),
            "boot_timeout_s": plan.timeouts.boot_s,
            "deadline_s": plan.deadline_s,
            "collect_timeout_s": plan.timeouts.collect_s,
            "room_timeout_s": plan.timeouts.room_s,
            "stop_timeout_s": plan.timeouts.stop_s,
        }


def sandbox(bubblewrap: str, spec: ProcessSpec, plan: Plan) -> list[str]:
    """The argv of the sandbox. Secrets come as files from inherited descriptors, never as words."""
    argv = [
        *(bubblewrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        *("--uid", _UID, "--gid", _UID, "--hostname", "sandbox", "--clearenv"),
        *("--proc", "/proc", "--dev", "/dev"),
    ]
    for path in spec.closure:
        argv += ["--ro-bind", path, path]
    for link, target in sorted(spec.links.items()):
        argv += ["--symlink", target, link]
    for item in plan.inputs:
        argv += ["--ro-bind", item.image.path, f"/inputs/{item.name}"]
    argv += _writable(plan)
    for index, name in enumerate(plan.secrets):
        argv += ["--perms", "0400", "--file", str(_FIRST_SECRET_FD + index), f"/run/secrets/{name}"]
    argv += ["--remount-ro", "/"]
    for name, value in _environment(spec, plan):
        argv += ["--setenv", name, value]
    shell = spec.links.get("/bin/sh", "/bin/sh")
    return [*argv, "--chdir", spec.working_directory, "--", shell, "-c", _WRAPPER, "sh", "/artifacts", spec.entry]


def _writable(plan: Plan) -> list[str]:
    """Bounded tmpfs, all of it charged to the run's control group."""
    artifacts = min(plan.caps.artifacts.total_bytes, plan.resources.memory_mib << 18)
    argv = ["--size", str(artifacts), "--tmpfs", "/artifacts"]
    for directory in ("/tmp", "/scratch"):  # noqa: S108 - of the sandbox
        argv += ["--size", str(plan.resources.memory_mib << 18), "--tmpfs", directory]
    for target in plan.artifact_targets:
        argv += ["--symlink", "/artifacts", target]
    return [*argv, "--dir", "/run/secrets"]


def _environment(spec: ProcessSpec, plan: Plan) -> Sequence[tuple[str, str]]:
    own = {
        "AGENTPLANE_ARTIFACTS": "/artifacts",
        "AGENTPLANE_EVENTS": "/dev/null",
        "AGENTPLANE_INPUTS": "/inputs",
        "AGENTPLANE_SCRATCH": "/scratch",
        "AGENTPLANE_SECRETS_DIR": "/run/secrets",
        "AGENTPLANE_RUN_ID": plan.run,
        "AGENTPLANE_TENANT": plan.tenant,
        "AGENTPLANE_SEED": plan.seed,
        "AGENTPLANE_ATTEMPT": str(plan.attempt),
        "AGENTPLANE_LANE": plan.lane,
        "AGENTPLANE_MEMORY_MIB": str(plan.resources.memory_mib),
        "AGENTPLANE_VCPU": str(plan.resources.vcpus),
        "HOME": "/tmp",  # noqa: S108 - of the sandbox
        "TMPDIR": "/tmp",  # noqa: S108
        "PATH": ":".join(spec.path),
    }
    files = {name: f"/run/secrets/{name}" for name in plan.secrets if name.endswith("_FILE")}
    return sorted({**spec.environment, **files, **own}.items())
