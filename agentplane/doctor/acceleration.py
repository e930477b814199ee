"""Acceleration, by booting a probe guest: a KVM that opens but hangs is told from one that works."""

from pathlib import Path

from agentplane.doctor.check import Check, failed, passed, skipped
from agentplane.errors import AgentplaneError
from agentplane.guests.spec import parse_probe
from agentplane.runners.kit import find_kit
from agentplane.runners.nix import Nix
from agentplane.runners.probe import Probe

EMULATION_DEADLINE_S = 60.0
KVM_FIXES = {
    "absent": "modprobe kvm_intel || modprobe kvm_amd",
    "denied": "usermod -aG kvm $USER",
    "hang": "echo 'use emulation here: this KVM cannot run a real guest'",
    "abort": "echo 'use emulation here: this KVM cannot run a real guest'",
}


def acceleration(state_dir: Path) -> list[Check]:
    """Whether the real guest kernel boots, emulated and under KVM."""
    try:
        nix = Nix(state_dir, find_kit(state_dir))
        spec = nix.build_probe()
        probe = Probe(state_dir)
        version = passed("qemu.version", probe.qemu_version())
        emulated = probe.boot(parse_probe(Path(spec.path).read_bytes()), "tcg", EMULATION_DEADLINE_S)
        kvm = probe.kvm(spec)
    except AgentplaneError as exc:
        return [failed("guest.boots", f"{exc.code}: {exc}", exc.hint), skipped("accel.kvm", "no probe guest to boot")]
    boots = passed("guest.boots", "the probe guest booted under emulation just now")
    if not emulated.usable:
        boots = failed("guest.boots", emulated.cause, "apt-get install --reinstall -y qemu-system-x86")
    return [version, boots, _kvm(kvm.usable, kvm.cause)]


def _kvm(usable: bool, cause: str) -> Check:  # noqa: FBT001
    if usable:
        return passed("accel.kvm", "the probe guest booted under KVM")
    if "Permission denied" in cause:
        fix = "chgrp kvm /dev/kvm && chmod 660 /dev/kvm"
        return failed("accel.kvm", "denied: /dev/kvm is closed to the users that guests run as", fix, required=False)
    # emulation works everywhere, so this is never more than a warning
    return failed("accel.kvm", cause, KVM_FIXES.get(cause.partition(":")[0]), required=False)
