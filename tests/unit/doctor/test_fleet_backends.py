"""An executor that is reachable and can run nothing is not healthy."""

from datetime import UTC, datetime

from msgspec.structs import replace

from agentplane.doctor.check import healthy
from agentplane.doctor.fleet import fleet
from agentplane.projections.executors import ExecutorView
from agentplane.runs.protocol import Acceleration
from tests.executors import host_facts

WHEN = datetime(2026, 11, 21, tzinfo=UTC)
FACTS = host_facts(
    backends=("microvm",),
    kvm=Acceleration(usable=False, cause="host.missing-program: qemu-system-x86_64 is not installed"),
)


def view(*backends: str) -> ExecutorView:
    return ExecutorView(tenant="system", name="exec-a", facts=replace(FACTS, backends=backends), registered_at=WHEN)


def test_an_executor_without_a_backend_fails_with_the_reason() -> None:
    checks = {check.id: check for check in fleet([view()])}
    assert not healthy(list(checks.values()))
    assert "qemu-system-x86_64 is not installed" in checks["executor.exec-a.backends"].cause
    assert checks["executor.exec-a.backends"].fix == "agentplane doctor --role executor"


def test_an_executor_with_a_backend_is_healthy() -> None:
    checks = fleet([view("process")])
    assert healthy(checks)
    assert "executor.exec-a.backends" not in {check.id for check in checks}
