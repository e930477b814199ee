"""The QEMU runner: a plan for a slim guest becomes a supervised virtual machine."""

from pathlib import Path

from agentplane.errors import Refused
from agentplane.guests.config import GuestConfig, config_text
from agentplane.guests.qemu import Descriptors, Hardware, command
from agentplane.guests.spec import GuestSpec, parse_guest
from agentplane.runners import activation
from agentplane.runners import host as hosts
from agentplane.runners.host import Host, channel
from agentplane.runners.launch import ShimHandle
from agentplane.runners.plan import Plan
from agentplane.runners.shim.contract import Channel, Launch

_FDS = Descriptors()
_HOST_LOG_BYTES = 64 << 10
_MAX_SECRETS = 64


class QemuRunner:
    """Runs guests in QEMU, each behind its own shim, as its own user, in its own control group."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def launch(self, plan: Plan, secrets: dict[str, bytes]) -> ShimHandle:
        """See `plan.Runner.launch`."""
        spec = parse_guest(Path(plan.spec.path).read_bytes())
        _check(plan, spec, secrets)
        launch = self._launch(plan, spec)
        unit = self._host.sockets.machine if self._host.sockets else None
        return activation.launch(plan, launch, [secrets[name] for name in plan.secrets], unit, self._host.spare)

    def _launch(self, plan: Plan, spec: GuestSpec) -> Launch:
        hardware = Hardware(
            accelerator=plan.accelerator,
            vcpus=plan.resources.vcpus,
            memory_mib=plan.resources.memory_mib,
            clock_base=plan.clock_base,
            inputs=tuple((str(index), item.image.path) for index, item in enumerate(plan.inputs)),
            secrets=len(plan.secrets),
        )
        kvm = plan.accelerator == "kvm" and self._host.sockets is None  # a guest unit has its groups from systemd
        groups = [Path("/dev/kvm").stat().st_gid] if kvm else []
        memory_mib = plan.resources.memory_mib + hosts.QEMU_OVERHEAD_MIB
        return {
            "run": plan.run,
            "tenant": plan.tenant,
            "epoch": plan.epoch,
            "attempt": plan.attempt,
            "argv": command(hosts.program(self._host.qemu), spec, hardware, _FDS),
            "environment": {},
            "channels": _channels(plan),
            "files": {str(_FDS.config): config_text(_config(plan, spec))},
            "secrets": [(name, _FDS.first_secret + index) for index, name in enumerate(plan.secrets)],
            "scratch": (_FDS.scratch, plan.resources.disk_mib << 20),
            "users": hosts.users(self._host, groups),
            "limits": hosts.limits(plan, memory_mib, hosts.QEMU_PIDS),
            "boot_timeout_s": plan.timeouts.boot_s,
            "deadline_s": plan.deadline_s,
            "collect_timeout_s": plan.timeouts.collect_s,
            "room_timeout_s": plan.timeouts.room_s,
            "stop_timeout_s": plan.timeouts.stop_s,
        }


def _check(plan: Plan, spec: GuestSpec, secrets: dict[str, bytes]) -> None:
    if plan.resources.memory_mib < spec.machine.min_memory_mib:
        raise Refused(
            f"{plan.resources.memory_mib} MiB is less than the {spec.machine.min_memory_mib} MiB this guest needs",
            code="guest.memory",
        )
    missing = sorted(set(plan.secrets) - secrets.keys())
    if missing or len(plan.secrets) > _MAX_SECRETS:
        raise Refused(f"no value for the secrets {', '.join(missing)}, or too many", code="guest.secrets")


def result_cap_bytes(plan: Plan) -> int:
    """How large the archive may be: it holds a header and padding per entry beside the bytes themselves."""
    artifacts = plan.caps.artifacts
    return artifacts.total_bytes + artifacts.entries * 1024 + (64 << 10)


def _channels(plan: Plan) -> list[Channel]:
    caps = plan.caps
    return [
        channel("console", caps.console_bytes, _FDS.console, pipe=False),
        channel("events", caps.events_bytes, _FDS.events, pipe=False),
        channel("result", result_cap_bytes(plan), _FDS.result, pipe=False),
        channel("serial", caps.serial_bytes, _FDS.serial, pipe=False),
        channel("monitor", 0, _FDS.monitor, pipe=False),
        channel("host", _HOST_LOG_BYTES, 1, 2, pipe=True),
    ]


def _config(plan: Plan, spec: GuestSpec) -> GuestConfig:
    return GuestConfig(
        entry=spec.entry,
        directory=spec.working_directory,
        path=spec.path,
        environment=spec.environment,
        run=plan.run,
        tenant=plan.tenant,
        seed=plan.seed,
        attempt=plan.attempt,
        lane=plan.lane,
        artifact_targets=plan.artifact_targets,
        artifacts_mib=plan.caps.artifacts.total_bytes >> 20,
        disk_mib=plan.resources.disk_mib,
        memory_mib=plan.resources.memory_mib,
        vcpus=plan.resources.vcpus,
        secrets=plan.secrets,
        inputs=tuple(item.name for item in plan.inputs),
    )
