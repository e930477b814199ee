"""A control host and two executor hosts, provisioned as docs/deploy.md says for Debian, and what is asked of them."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from tests.units.hosts.machines import Machine, Wrong, all_named, bridge, until

SHARE: Final = "/opt/agentplane/share/agentplane"
INSTALL: Final = f"{SHARE}/install-debian.sh"
CACHE: Final = "/var/lib/agentplane-cache"
EXECUTORS: Final = ("exec-a", "exec-b")
# an hour of silence is no other than these seconds of it, in what it does
LEASE_S: Final = 6
Run = dict[str, Any]


class Fleet:
    """The machines, and the control host's command line."""

    def __init__(self, debian: Path, work: Path, group: str) -> None:
        """As Machine's."""
        bridge()
        names = ("control", *EXECUTORS)
        made = [Machine(name, 10 + n, debian=debian, work=work, group=group) for n, name in enumerate(names)]
        self.control, self.a, self.b = made
        self.machines = tuple(made)

    def boot(self) -> None:
        """Start all three."""
        for machine in self.machines:
            machine.boot(self.addresses)

    @property
    def addresses(self) -> dict[str, str]:
        """By name, as every machine knows them."""
        return all_named(self.machines)

    def executor(self, name: str) -> Machine:
        """The host of an executor."""
        return next(machine for machine in self.machines if machine.name == name)

    def ap(self, words: str) -> str:
        """What the operator's command line prints."""
        return self.control.run(f"agentplane {words}")

    def answer(self, words: str) -> Any:
        """The same, as JSON."""
        return json.loads(self.ap(f"{words} -o json"))

    def runs(self) -> list[Run]:
        """Newest first."""
        found: list[Run] = self.answer("get runs")
        return found

    def run_of(self, bundle: str) -> Run:
        """The newest run of a bundle. Raises Wrong."""
        found = self.find(bundle)
        if found is None:
            raise Wrong(f"no run of {bundle}")
        return found

    def find(self, bundle: str) -> Run | None:
        """The newest run of a bundle with all that is known of it, if there is one."""
        name = next((run["name"] for run in self.runs() if run["bundle"].startswith(f"{bundle}@")), None)
        found: Run | None = None if name is None else self.answer(f"get runs {name}")
        return found

    def listed(self, name: str) -> Run:
        """One executor, as `agentplane executor list` tells."""
        found: Run = next((each for each in self.answer("executor list") if each["name"] == name), {})
        return found

    def bundle(self, name: str, script: str, *, backend: str = "lima-process", lane: str = "dev") -> str:
        """A bundle of its own on the control host; its directory."""
        self.control.run(
            f"mkdir -p /root/bundles && rm -rf /root/bundles/{name} && cp -r {SHARE}/bundles/noop /root/bundles/{name}"
        )
        directory = self.control.root / "root" / "bundles" / name
        document = json.loads((directory / "bundle.json").read_text())
        document["metadata"]["name"] = name
        document["spec"]["vm"]["backendIntent"] = backend
        document["spec"]["policy"]["lane"] = lane
        (directory / "bundle.json").write_text(json.dumps(document))
        (directory / "smoke.sh").write_text(f"#!/bin/sh\n{script}\n")
        return f"/root/bundles/{name}"

    def push(self, directory: str) -> str:
        """Build and sign it on the control host, and put it into the cache; what `run` wants to be told of that."""
        key = "--key-file /etc/agentplane/keys/cache.key"
        self.ap(f"bundle push {directory} --to file://{CACHE} {key} -o json >{directory}.pushed.json")
        return f"{directory} --pushed {directory}.pushed.json"

    def start_run(self, words: str) -> "subprocess.Popen[str]":
        """Somebody who waits for a run (`ended`)."""
        return self.control.start(f"agentplane run {words} --wait")

    def verify(self, run: Run) -> str:
        """Its evidence, by a stranger with public keys."""
        name = run["name"]
        self.ap(f"evidence export {name} --to /root/evidence-{name} >/dev/null")
        return self.ap(f"evidence verify /root/evidence-{name} --keys /etc/agentplane/trusted")


def until_run(fleet: Fleet, bundle: str, **fields: Any) -> Run:
    """The newest run of a bundle, once its fields have these values."""

    def there() -> Run | None:
        run = fleet.find(bundle)
        return run if run is not None and all(run[name] == value for name, value in fields.items()) else None

    found: Run = until(f"no run of {bundle} with {fields}", there)
    return found


def set_lease(fleet: Fleet, seconds: int) -> None:
    """How long control waits for an executor that it does not hear of. It is restarted, as by any change."""
    fleet.control.configure("control", lambda settings: settings.update(lease_seconds=seconds))
    fleet.control.run("systemctl restart agentplane-control")
    for name in EXECUTORS:
        if fleet.listed(name)["phase"] == "approved":
            until_ready(fleet, name)


def guest_of(host: Machine) -> str:
    """The pid of the one guest's QEMU on a host; "" when there is none. Those of probes do not count."""
    script = "grep -ls agentplane-guest@ $(pgrep -x qemu-system-x86 | sed 's,.*,/proc/&/cgroup,') /dev/null || true"
    pids = [line.split("/")[2] for line in host.run(script).split()]
    return next((pid for pid in pids if "agentplane.probe" not in host.run(f"tr '\\0' ' ' </proc/{pid}/cmdline")), "")


def until_ready(fleet: Fleet, name: str) -> None:
    """Wait until an executor is heard of."""
    until(f"{name} is not heard of: {fleet.listed(name)}", lambda: fleet.listed(name).get("reachable"))


def copy_trust(source: Machine, target: Machine) -> None:
    """What an administrator does with scp: public keys from the control host."""
    shutil.copytree(source.root / "etc/agentplane/trusted", target.root / "root/trusted", dirs_exist_ok=True)
