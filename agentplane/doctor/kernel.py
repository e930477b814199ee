"""What this host's kernel must offer: virtualisation modules where the CPU has it, and namespaces for sandboxes."""

from pathlib import Path

from agentplane.doctor.check import Check, failed, passed, skipped

MODULES = {"vmx": "kvm_intel", "svm": "kvm_amd"}


def kernel(root: Path = Path("/")) -> list[Check]:
    """Modules and namespaces. `root`: where proc/ and sys/ are, for tests."""
    return [_virtualisation(root), _namespaces(root)]


def _virtualisation(root: Path) -> Check:
    id_ = "kernel.modules"
    flags = next((line for line in _text(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), "").split()
    wanted = next((module for flag, module in MODULES.items() if flag in flags), None)
    if wanted is None:
        return skipped(id_, "this CPU, or the hypervisor above us, offers no virtualisation: guests are emulated")
    if (root / "sys/module" / wanted).exists():
        return passed(id_, f"{wanted} is loaded")
    return failed(id_, f"{wanted} is not loaded: guests are emulated", f"modprobe {wanted}", required=False)


def _namespaces(root: Path) -> Check:
    id_ = "kernel.namespaces"
    limit = _text(root / "proc/sys/user/max_user_namespaces").strip()
    if limit.isdigit() and int(limit) > 0:
        return passed(id_, f"up to {limit} user namespaces, for Nix's sandbox and the process backend")
    return failed(id_, "user namespaces are off: no sandbox can be made", "sysctl -w user.max_user_namespaces=15000")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
