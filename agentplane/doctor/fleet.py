"""Every executor of the fleet, by what it reported last. Pure."""

from collections.abc import Sequence

from agentplane.doctor.check import Check, failed, passed
from agentplane.enrolment.model import NONE
from agentplane.projections.executors import ExecutorView
from agentplane.runs.protocol import ExecutorFacts

MIN_DISK_MIB = 1024


def fleet(executors: Sequence[ExecutorView]) -> list[Check]:
    """Checks of each executor; one failed check when there is none."""
    if not executors:
        return [failed("fleet.executors", "no executor has ever reported", "agentplane stack up")]
    return [check for executor in executors for check in _executor(executor)]


def _backends(prefix: str, facts: ExecutorFacts) -> list[Check]:
    """Without a backend nothing runs there, however reachable it is."""
    if facts.backends:
        return []
    cause = f"it offers no backend, so nothing can run there; {facts.kvm.cause}"
    return [failed(f"{prefix}.backends", cause, "agentplane doctor --role executor")]


def _executor(view: ExecutorView) -> list[Check]:
    prefix = f"executor.{view.name}"
    start = "systemctl restart agentplane-executor.service"
    if view.enrolment.left or (view.facts is None and view.enrolment.approved is None and view.enrolment != NONE):
        return []  # not ours any more, or not yet
    if view.facts is None:
        return [failed(f"{prefix}.registered", "it has never reported", start)]
    if not view.reachable:
        return [failed(f"{prefix}.reachable", view.message or "no heartbeat", start)]
    checks = [
        passed(
            f"{prefix}.reachable", f"runs {', '.join(view.facts.backends) or 'nothing'}; {len(view.leases)} lease(s)"
        )
    ]
    checks += _backends(prefix, view.facts)
    if view.enrolment.clock is not None:
        checks.append(failed(f"{prefix}.clock", view.enrolment.clock.words(), "chronyc makestep"))
    if view.enrolment.draining is not None:
        cause = f"draining {view.enrolment.draining.words()}"
        checks.append(failed(f"{prefix}.draining", cause, f"agentplane executor resume {view.name}", required=False))
    kvm = view.facts.kvm
    checks.append(
        passed(f"{prefix}.kvm", "usable")
        if kvm.usable
        else failed(f"{prefix}.kvm", kvm.cause, f"agentplane get executor {view.name} -o yaml", required=False)
    )
    disk = view.facts.disk_mib
    words = f"{disk} MiB for guests"
    enough = passed(f"{prefix}.disk", words)
    checks.append(enough if disk >= MIN_DISK_MIB else failed(f"{prefix}.disk", words, "nix-collect-garbage"))
    if view.rejected:
        cause = f"{view.rejected} report(s) did not verify; the last: {view.last_rejection}"
        checks.append(failed(f"{prefix}.evidence", cause, "agentplane events list --type executor.evidence-rejected"))
    return checks
