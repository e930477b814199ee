"""A fleet's second day: doctor, backup and restore, an executor upgraded under its guest, one drained."""

import shutil
from typing import Any

from tests.units.hosts.fleet import Fleet, guest_of, until_run
from tests.units.hosts.machines import Machine, Wrong, ended, until

# what a container has not, and the doctor says so without calling the host ill
_NOT_HERE = {"clock.synchronised", "accel.kvm"}
_DATA = "/var/lib/postgresql/15/main"


def doctor_and_backup(fleet: Fleet) -> None:
    """every host is backed up by its timer's unit, and found healthy"""
    for machine in fleet.machines:
        role = "control" if machine is fleet.control else "executor"
        if found := _findings(machine, role) - _NOT_HERE - {"backup.timer"}:
            raise Wrong(f"{machine.name}: the doctor finds {found}")
        machine.run(f"systemctl enable -q --now agentplane-backup-{role}.timer")
        machine.run(f"systemctl start agentplane-backup-{role}")
        if found := _findings(machine, role) - _NOT_HERE:
            raise Wrong(f"{machine.name}: the doctor finds {found}")


def _findings(machine: Machine, role: str) -> set[str]:
    """What is not as it should be; the doctor's own verdict must be that the host is healthy."""
    checks: list[dict[str, Any]] = machine.json(f"agentplane doctor --role {role} -o json")["checks"]
    return {check["id"] for check in checks if check["status"] not in ("pass", "skip")}


def restored(fleet: Fleet) -> None:
    """the control host's log comes back from its backup, and every read model with it"""
    control, before = fleet.control, fleet.runs()
    control.run("rm -r /var/lib/agentplane-backup-control/2*; systemctl start agentplane-backup-control")
    backup = control.run("ls -d /var/lib/agentplane-backup-control/2*").strip()
    control.run("systemctl stop agentplane-control agentplane-projector postgresql postgresql@15-main")
    control.run(f"mv {_DATA} {_DATA}.lost")
    control.run(f"agentplane restore --from {backup} --database {_DATA}")
    control.run("systemctl start postgresql agentplane-database agentplane-control agentplane-projector")
    if fleet.runs() != before:
        raise Wrong(f"other runs than before: {fleet.runs()}")
    rebuilt = fleet.ap("projections rebuild")
    if rebuilt.count("equal") < len(("runs", "executors", "evidence")) or "differ" in rebuilt:
        raise Wrong(rebuilt)


def upgraded(fleet: Fleet) -> None:
    """an executor is upgraded while its guest runs, which is adopted and finishes in its first epoch"""
    host, wheel = fleet.a, _wheel(fleet)
    words = fleet.push(fleet.bundle("patient", "sleep 12; echo patient", backend="microvm", lane="staging"))
    waiting = fleet.start_run(f"{words} --executor {host.name}")
    guest = until("no guest started", lambda: guest_of(host))
    host.run(f"/opt/agentplane/bin/pip install -q --no-index --force-reinstall --no-deps {wheel}")
    host.run("systemctl daemon-reexec && systemctl restart agentplane-executor")
    if guest_of(host) != guest:
        raise Wrong("the guest did not survive the upgrade")
    ended(waiting)
    run = fleet.run_of("patient")
    if (run["state"], run["epoch"], run["executor"]) != ("succeeded", 1, host.name):
        raise Wrong(f"{run['state']} on {run['executor']}, epoch {run['epoch']}")
    fleet.verify(run)


def _wheel(fleet: Fleet) -> str:
    """The wheel that the root was made of, on the executor."""
    (wheel,) = (fleet.a.debian.parent / "wheels").glob("agentplane-*.whl")
    shutil.copy(wheel, fleet.a.root / "root")
    return f"/root/{wheel.name}"


def drained(fleet: Fleet) -> None:
    """a draining executor finishes what it runs and is given nothing new, which placement explains"""
    first = fleet.push(fleet.bundle("lasting", "sleep 5"))
    waiting = fleet.start_run(f"{first} --executor exec-a")
    until_run(fleet, "lasting", state="running")
    draining = fleet.control.start("agentplane executor drain exec-a --reason disks --wait")
    until("exec-a does not drain", lambda: fleet.listed("exec-a").get("phase") == "draining")
    second = fleet.push(fleet.bundle("newcomer", "true"))
    ended(fleet.start_run(second))
    newcomer = fleet.run_of("newcomer")
    if newcomer["executor"] != "exec-b":
        raise Wrong(f"a draining executor was given {newcomer['name']}")
    said = fleet.ap(f"explain {newcomer['name']}")
    if "drain" not in said:
        raise Wrong(f"placement does not say that exec-a drains: {said}")
    ended(waiting)
    ended(draining)
    if fleet.run_of("lasting")["epoch"] != 1:
        raise Wrong("what a draining executor ran was placed again")
    fleet.ap("executor resume exec-a")


STEPS = (doctor_and_backup, restored, upgraded, drained)
