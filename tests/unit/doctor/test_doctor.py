"""Every finding has a cause and a fix; what is fit passes."""

from pathlib import Path

import pytest

from agentplane.doctor import kernel, nix, services, tools
from agentplane.doctor.check import Check, Status, failed, healthy, passed, skipped
from agentplane.doctor.fleet import fleet
from agentplane.projections.executors import ExecutorView
from agentplane.runs.protocol import Acceleration, ExecutorFacts


def by_id(checks: list[Check]) -> dict[str, Check]:
    return {check.id: check for check in checks}


def test_a_required_failure_makes_a_machine_unfit_and_a_warning_does_not() -> None:
    assert healthy([passed("a", ""), skipped("b", ""), failed("c", "", None, required=False)])
    assert not healthy([failed("c", "", None)])


def test_missing_programs_are_named_with_their_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = by_id(tools.programs())
    assert all(check.status in {Status.FAIL, Status.WARN} for check in checks.values())
    assert checks["program.qemu"].fix == "apt-get install -y qemu-system-x86"
    assert by_id(nix.nix())["nix.installed"].fix == "apt-get install -y nix-bin"


def test_a_kvm_module_that_is_not_loaded_is_a_warning_with_its_modprobe(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t: fpu vmx sse\n")
    checks = by_id(kernel.kernel(tmp_path))
    assert checks["kernel.modules"].fix == "modprobe kvm_intel"
    assert checks["kernel.namespaces"].status is Status.FAIL
    (tmp_path / "sys/module/kvm_intel").mkdir(parents=True)
    assert by_id(kernel.kernel(tmp_path))["kernel.modules"].status is Status.PASS


def test_a_readable_key_is_named_with_its_chmod(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "control.key"
    key.touch(mode=0o644)
    check = by_id(services.keys(tmp_path))["keys.permissions"]
    assert check.fix == f"chmod 600 {key}"
    key.chmod(0o600)
    assert by_id(services.keys(tmp_path))["keys.permissions"].status is Status.PASS


def test_an_unreachable_database_says_so_and_skips_what_depends_on_it() -> None:
    checks = by_id(services.postgres("host=127.0.0.1 port=1 connect_timeout=1", 1))
    assert checks["postgres.reachable"].status is Status.FAIL
    assert checks["postgres.fsync"].status is Status.SKIP


def view(*, kvm: bool = False, disk_mib: int = 5000) -> ExecutorView:
    facts = ExecutorFacts(
        os="linux", arch="x86_64", backends=("microvm",), networks=("none",),
        kvm=Acceleration(usable=kvm, cause="ok" if kvm else "hang: nothing for 4 s"),
        vcpus=2, memory_mib=4096, disk_mib=disk_mib, secrets=(), draining=False, versions={},
    )  # fmt: skip
    return ExecutorView(tenant="system", name="exec-a", facts=facts)


def test_the_fleet_is_judged_by_what_executors_reported() -> None:
    assert not healthy(fleet([]))
    assert healthy(fleet([view()]))
    assert by_id(fleet([view()]))["executor.exec-a.kvm"].cause.startswith("hang")
    assert not healthy(fleet([view(disk_mib=10)]))
    assert not healthy(fleet([ExecutorView(tenant="system", name="exec-b")]))
