"""What goes wrong between hosts and on them: cables, daemons, clocks, disks, and an executor that must go."""

from tests.units.hosts.fleet import Fleet, set_lease, until_ready, until_run
from tests.units.hosts.machines import Machine, Wrong, ended, until

_DAEMONS = ("agentplane-bus", "agentplane-control", "agentplane-projector")
_EXECUTOR = ("agentplane-executor",)
_ENDING = 3  # records that a run's end brings, at least
_FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
_STATE = "/var/lib/agentplane-executor"
# its state, whole, to a place of its own and back
_KEEP = f"rm -rf /var/lib/kept; cp -a {_STATE} /var/lib/kept"
_BRING_BACK = (
    f"find {_STATE} -mindepth 1 -delete; cp -a /var/lib/kept/. {_STATE}/;"
    f"chown agentplane-executor:agentplane-guest {_STATE}; chmod 700 {_STATE};"
    "rm -r /var/lib/kept; systemctl start agentplane-executor"
)


def control_unreachable(fleet: Fleet) -> None:
    """the control host is unreachable: executors finish, restart meanwhile, keep their journals, and deliver later"""
    set_lease(fleet, 120)
    names = {host.name: fleet.push(fleet.bundle(f"cut-{host.name}", "sleep 6")) for host in (fleet.a, fleet.b)}
    waiting = [fleet.start_run(f"{words} --executor {name}") for name, words in names.items()]
    for name in names:
        until_run(fleet, f"cut-{name}", state="running")
    with fleet.control.apart():
        before = _journal(fleet.b)
        fleet.a.run("systemctl restart agentplane-executor")  # is up at once, whoever it cannot reach
        for host in (fleet.a, fleet.b):
            _until_quiet(host)
        # outcome and seal at least: exec-b goes on without anybody, exec-a waits for whom to answer to
        until("exec-b wrote nothing into its journal", lambda: _journal(fleet.b) >= before + _ENDING)
        if fleet.run_of(f"cut-{fleet.b.name}")["state"] != "running":
            raise Wrong("control heard of what happened behind a cut cable")
    for each in waiting:
        ended(each)
    for name in names:
        run = fleet.run_of(f"cut-{name}")
        if (run["state"], run["epoch"], run["executor"]) != ("succeeded", 1, name):
            raise Wrong(f"{run['state']} on {run['executor']}, epoch {run['epoch']}")
        fleet.verify(run)


def _guests(host: Machine) -> str:
    return host.run("systemctl list-units --no-legend 'agentplane-guest@*' 'agentplane-process@*'").strip()


def _journal(host: Machine) -> int:
    """How many signed records its journal has."""
    return int(host.run(f"cat {_STATE}/journal/*.jsonl | wc -l"))


def _until_quiet(host: Machine) -> None:
    until(f"the guest of {host.name} does not end", lambda: not _guests(host))


def _until_back(host: Machine, unit: str, pid: str, why: str) -> None:
    until(f"{unit} of {host.name} does not come back: {why}", lambda: host.serves_anew(unit, pid))


def fenced(fleet: Fleet) -> None:
    """a lease that expires behind a cut cable: the run is placed again, and the late evidence is kept and marked"""
    set_lease(fleet, 4)
    words = fleet.push(fleet.bundle("fenced", "sleep 8"))
    waiting = fleet.start_run(words)
    first = until_run(fleet, "fenced", state="running")["executor"]
    host = fleet.executor(first)
    with host.apart():
        again = until_run(fleet, "fenced", epoch=2)
        if again["executor"] == first:
            raise Wrong(f"placed again on {first}")
        ended(waiting)
        _until_quiet(host)
    run = until("the late evidence does not come", lambda: (run := fleet.run_of("fenced"))["fenced"] and run)
    if (run["state"], run["epoch"]) != ("succeeded", 2):
        raise Wrong(f"{run['state']}, epoch {run['epoch']}")
    shown = fleet.ap(f"evidence show {run['name']}")
    if "replaced attempt" not in shown:
        raise Wrong(f"late evidence is not marked: {shown}")
    fleet.verify(run)


def killed_and_stalled(fleet: Fleet) -> None:
    """killed with -9 and stopped in its tracks, every daemon on every host comes back"""
    daemons = ((fleet.control, _DAEMONS), (fleet.a, _EXECUTOR), (fleet.b, _EXECUTOR))
    for host, unit in ((host, unit) for host, units in daemons for unit in units):
        pid = host.show(unit, "MainPID")
        host.run(f"kill -9 {pid}")
        _until_back(host, unit, pid, "killed")
        if unit != "agentplane-bus":
            _stall(host, unit)
    _all_well(fleet, "after-kills")


def _stall(host: Machine, unit: str) -> None:
    directory = f"/run/systemd/system/{unit}.service.d"
    host.run(f"mkdir -p {directory}; printf '[Service]\\nWatchdogSec=2s\\n' >{directory}/watchdog.conf")
    host.run(f"systemctl daemon-reload; systemctl restart {unit}")
    pid = host.show(unit, "MainPID")
    host.run(f"kill -STOP {pid}")
    _until_back(host, unit, pid, "stalled")
    if "Watchdog timeout" not in host.journal(unit):
        raise Wrong(f"{unit} was restarted, but not by its watchdog")
    host.run(f"rm {directory}/watchdog.conf; systemctl daemon-reload; systemctl restart {unit}")


def _all_well(fleet: Fleet, name: str) -> None:
    """A run goes through on each executor."""
    for host in (fleet.a, fleet.b):
        until_ready(fleet, host.name)
        words = fleet.push(fleet.bundle(f"{name}-{host.name}", "true"))
        ended(fleet.start_run(f"{words} --executor {host.name}"))


def clock_off(fleet: Fleet) -> None:
    """an executor whose clock is off gets no new runs until it is right again, and everybody can see why"""
    directory = "/run/systemd/system/agentplane-executor.service.d"
    lines = f"[Service]\\nEnvironment=LD_PRELOAD={_FAKETIME} FAKETIME=+600 FAKETIME_DONT_FAKE_MONOTONIC=1\\n"
    fleet.a.run(f"mkdir -p {directory}; printf '{lines}' >{directory}/clock.conf; systemctl daemon-reload")
    fleet.a.run("systemctl restart agentplane-executor")
    until("nobody notices the clock", lambda: fleet.listed("exec-a")["enrolment"]["clock"])
    words = fleet.push(fleet.bundle("timely", "true"))
    ended(fleet.start_run(words))
    run = fleet.run_of("timely")
    said = fleet.ap(f"explain {run['name']}")
    if run["executor"] != "exec-b" or "clock" not in said:
        raise Wrong(f"ran on {run['executor']}: {said}")
    fleet.a.run(f"rm {directory}/clock.conf; systemctl daemon-reload; systemctl restart agentplane-executor")
    until("a right clock is not noticed", lambda: not fleet.listed("exec-a")["enrolment"]["clock"])


def disk_full(fleet: Fleet) -> None:
    """an executor whose disk fills up takes nothing new, and loses nothing"""
    host = fleet.a
    host.run(f"systemctl stop agentplane-executor; {_KEEP}; mount -t tmpfs -o size=1600m tmpfs {_STATE}; {_BRING_BACK}")
    until_ready(fleet, host.name)
    words = fleet.push(fleet.bundle("hoarder", "sleep 25"))  # ends when there is room again: its files need some
    waiting = fleet.start_run(f"{words} --executor exec-a")
    until_run(fleet, "hoarder", state="running")
    host.run(f"cat /dev/zero >{_STATE}/filler 2>/dev/null || true")
    second = fleet.control.start(
        f"agentplane run {fleet.push(fleet.bundle('patience', 'true'))} --executor exec-a --wait"
    )
    queued = until_run(fleet, "patience", state="waiting_for_resource")
    said = fleet.ap(f"explain {queued['name']}")
    if "disk" not in said:
        raise Wrong(f"placement does not say that the disk is full: {said}")
    host.run(f"rm {_STATE}/filler")
    ended(waiting)
    ended(second)
    for name in ("hoarder", "patience"):
        fleet.verify(fleet.run_of(name))
    host.run(f"systemctl stop agentplane-executor; {_KEEP}; umount {_STATE}; {_BRING_BACK}")


def rolled_back(fleet: Fleet) -> None:
    """an executor whose disk went back in time is not believed, and given nothing until it is put right"""
    set_lease(fleet, 4)
    host = fleet.a
    host.run(f"cp -a {_STATE} /var/lib/older")
    ended(fleet.start_run(f"{fleet.push(fleet.bundle('remembered', 'true'))} --executor exec-a"))
    host.run(f"systemctl stop agentplane-executor; {_KEEP}; mv /var/lib/kept /var/lib/newer")
    host.run(f"mv /var/lib/older /var/lib/kept; {_BRING_BACK}")
    until("an older journal is believed", lambda: "restore it" in host.journal("agentplane-executor"))
    until("an executor that is not believed counts as heard of", lambda: not fleet.listed("exec-a")["reachable"])
    ended(fleet.start_run(fleet.push(fleet.bundle("elsewhere", "true"))))
    if fleet.run_of("elsewhere")["executor"] != "exec-b":
        raise Wrong("a run ended on an executor that lost its journal")
    host.run(f"systemctl stop agentplane-executor; mv /var/lib/newer /var/lib/kept; {_BRING_BACK}")
    until_ready(fleet, host.name)


def rebooted(fleet: Fleet) -> None:
    """an executor host loses its power while a guest runs: the run is placed again, and the host comes back"""
    set_lease(fleet, 4)
    words = fleet.push(fleet.bundle("unlucky", "sleep 8"))
    waiting = fleet.start_run(words)
    host = fleet.executor(until_run(fleet, "unlucky", state="running")["executor"])
    host.lose_power()
    ended(waiting)
    if fleet.run_of("unlucky")["epoch"] < 2:
        raise Wrong("a run of a dead host ended in its first epoch")
    host.boot(fleet.addresses)
    until_ready(fleet, host.name)


def revoked(fleet: Fleet) -> None:
    """a revoked executor is off the bus at once, and its run is placed again"""
    words = fleet.push(fleet.bundle("robbed", "sleep 10"))
    waiting = fleet.start_run(words)
    host = fleet.executor(until_run(fleet, "robbed", state="running")["executor"])
    fleet.ap(f"executor revoke {host.name} --reason stolen")
    refused = f"a key that executor {host.name} had"
    until("it is not kept off the bus", lambda: refused in fleet.control.journal("agentplane-control"))
    ended(waiting)
    run = fleet.run_of("robbed")
    if (run["state"], run["epoch"]) != ("succeeded", 2) or run["executor"] == host.name:
        raise Wrong(f"{run['state']} on {run['executor']}, epoch {run['epoch']}")
    if fleet.listed(host.name)["phase"] != "revoked":
        raise Wrong(f"{host.name} is {fleet.listed(host.name)['phase']}")


STEPS = (control_unreachable, fenced, killed_and_stalled, clock_off, disk_full, rolled_back, rebooted, revoked)
