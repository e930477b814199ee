"""From three bare hosts to a run on each."""

import json

from tests.units.hosts.fleet import CACHE, EXECUTORS, INSTALL, LEASE_S, Fleet, copy_trust, until_ready
from tests.units.hosts.machines import Machine, Wrong, ended, until


def control_host(fleet: Fleet) -> None:
    """the control host is provisioned, and serves"""
    control = fleet.control
    words = " ".join(f"--executor {name}" for name in EXECUTORS)
    control.run(f"{INSTALL} provision control --address control --address {control.address} {words}")
    before = control.run("sha256sum /etc/agentplane/keys/* /etc/agentplane/trusted/*.p*")
    control.run(f"{INSTALL} provision control --address control {words}")
    if control.run("sha256sum /etc/agentplane/keys/* /etc/agentplane/trusted/*.p*") != before:
        raise Wrong("a second provisioning made other keys")
    control.configure("control", lambda settings: settings.update(heartbeat_seconds=1, lease_seconds=LEASE_S))
    control.run("systemctl start agentplane-bus agentplane-database agentplane-control agentplane-projector")
    control.run(f"mkdir -p {CACHE}")
    server = f"python3 -m http.server 8090 --bind {control.address} --directory {CACHE}"
    control.run(f"systemd-run -q --unit=cache -p DynamicUser=yes {server}")


def by_token(fleet: Fleet) -> None:
    """exec-a joins by a one-time token"""
    token = json.loads(fleet.ap("executor token create --name exec-a --ttl 5m -o json"))["token"]
    host = fleet.a
    host.run("umask 077; cat >/root/join.token", given=token)
    _provision(fleet, host, "--join-token /root/join.token")
    until_ready(fleet, "exec-a")


def by_approval(fleet: Fleet) -> None:
    """exec-b asks, and is let in by the fingerprint that it prints"""
    host = fleet.b
    _provision(fleet, host, "")
    printed = until("exec-b prints no fingerprint", lambda: _fingerprint(host))
    asked = until("exec-b does not ask to join", lambda: fleet.answer("executor requests"))
    if [(each["executor"], each["fingerprint"]) for each in asked] != [("exec-b", printed)]:
        raise Wrong(f"exec-b says {printed}, control {asked}")
    fleet.ap(f"executor approve exec-b --fingerprint {printed}")
    until_ready(fleet, "exec-b")


def _provision(fleet: Fleet, host: Machine, words: str) -> None:
    copy_trust(fleet.control, host)
    words = f"--trust /root/trusted --cache http://{fleet.control.address}:8090 {words}"
    host.run(f"{INSTALL} provision executor --name {host.name} --control-address control {words}")
    host.run("systemctl start agentplane-guest.socket agentplane-process.socket nix-daemon.socket agentplane-executor")


def _fingerprint(host: Machine) -> str:
    words = [word for word in host.journal("agentplane-executor").replace('"', " ").split() if "SHA256:" in word]
    return words[0][words[0].index("SHA256:") :] if words else ""


def one_run_each(fleet: Fleet) -> None:
    """a guest built and signed on the control host runs through on each"""
    pushed = fleet.push(fleet.bundle("noop", "echo here", backend="microvm", lane="staging"))
    for name in EXECUTORS:
        fleet.ap(f"executor trust {name}")
    waiting = [fleet.start_run(f"{pushed} --executor {name}") for name in EXECUTORS]
    for each in waiting:
        ended(each)
    found = {run["executor"]: run for run in fleet.runs()}
    if set(found) != set(EXECUTORS):
        raise Wrong(f"ran on {set(found)}")
    for run in found.values():
        if (run["state"], run["exitCode"]) != ("succeeded", 0):
            raise Wrong(f"{run['name']}: {run['state']}")
        fleet.verify(run)
    explained = fleet.ap(f"explain {found['exec-a']['name']}")
    if "not-named: exec-a was named" not in explained:
        raise Wrong(f"exec-b is not said why: {explained}")


def nothing_of_ours_is_root(fleet: Fleet) -> None:
    """nothing of ours runs as root, and the bus is spoken to by TLS alone"""
    for machine in fleet.machines:
        rows = machine.run("ps -eo user:32,args").splitlines()
        ours = [row for row in rows if "/opt/agentplane" in row or "qemu" in row]
        if not ours:
            raise Wrong(f"{machine.name}: nothing of ours runs")
        as_root = [row for row in ours if row.startswith("root ")]
        if as_root:
            raise Wrong(f"{machine.name}: as root: {as_root}")
    said = fleet.a.run("timeout 2 bash -c 'exec 3<>/dev/tcp/control/4222; head -c 4 <&3' || true")
    if said:
        raise Wrong(f"the bus greets in the clear: {said!r}")


STEPS = (control_host, by_token, by_approval, one_run_each, nothing_of_ours_is_root)
