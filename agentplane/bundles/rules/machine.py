"""What the bundle runs on: backend, resources, network, executor. Pure."""

from typing import Final

from agentplane.bundles.case import MISSING, Case, Findings, fail, quote, warn
from agentplane.bus.subjects import TOKEN
from agentplane.policy import INTENTS

_NETWORKS: Final = ("none", "nat", "bridge", "slirp")
_MINIMUMS: Final = {"vcpu": 1, "memMiB": 64, "diskGiB": 1}
_COMFORTABLE_MIB: Final = 128  # below it a slim guest's kernel and init barely start


def backend(case: Case) -> Findings:
    """The backend intent is known, and the lane's policy has something that can serve it."""
    path = ("spec", "vm", "backendIntent")
    found, lane = case.text(*path), case.text("spec", "policy", "lane")
    if found is None:
        return
    known = tuple(intent for intent in INTENTS if not (case.is_v0_2 and intent == "agent-machine"))
    if found not in known:
        yield fail("backend.unknown", path, f"backend {quote(found)} does not exist", f"Use one of {', '.join(known)}.")
    elif not INTENTS[found]:
        yield warn("backend.waits", path, f"no executor runs {found} yet; the run will wait", "Use microvm or fleet.")
    elif lane is not None and case.policy.lane(lane) is not None and not case.policy.backends(found, lane):
        hint = f"Use microvm, or ask for {' or '.join(INTENTS[found])} in policy.lanes.{lane}.backends."
        yield warn("backend.waits", path, f"policy allows no {found} in lane {lane}; the run will wait", hint)


def resources(case: Case) -> Findings:
    """Resources are integers, not absurdly small, and within the policy's limits."""
    limits = case.policy.limits
    maximums = {"vcpu": limits.vcpus, "memMiB": limits.memory_mib, "diskGiB": limits.disk_gib}
    for key, minimum in _MINIMUMS.items():
        path = ("spec", "vm", "resources", key)
        found = case.get(*path)
        hint = f"Set an integer from {minimum} to {maximums[key]}."
        if found is MISSING:
            continue
        if type(found) is not int:
            yield fail("resources.type", path, f"{key} is {quote(found)}, not an integer", hint)
        elif found < minimum:
            yield fail("resources.minimum", path, f"{key} is {found}, less than {minimum}", hint)
        elif found > maximums[key]:
            yield fail("resources.maximum", path, f"{key} is {found}, more than the policy's {maximums[key]}", hint)
        elif key == "memMiB" and found < _COMFORTABLE_MIB:
            yield warn("resources.tight", path, f"{found} MiB may be too little for a guest to start", "Give it 128.")


def network(case: Case) -> Findings:
    """The network mode is known; what policy does not open is waited for, never pretended."""
    path = ("spec", "vm", "network", "mode")
    found, lane = case.text(*path), case.text("spec", "policy", "lane")
    known = case.policy.lane(lane) if lane is not None else None
    if found is None:
        return
    if found not in _NETWORKS:
        hint = f"Use one of {', '.join(_NETWORKS)}."
        yield fail("network.unknown", path, f"network mode {quote(found)} does not exist", hint)
    elif known is not None and found not in known.networks:
        hint = f"Use mode none, or ask for it in policy.lanes.{lane}.networks."
        yield warn("network.waits", path, f"policy allows no network {found} in lane {lane}; the run will wait", hint)
    if found == "none" and case.items("spec", "vm", "network", "egressAllowlist"):
        path = ("spec", "vm", "network", "egressAllowlist")
        yield warn("network.egress", path, "with network mode none nothing leaves the guest", "Empty the list.")


def executor(case: Case) -> Findings:
    """A reference to an executor is a name."""
    path = ("spec", "executor", "ref")
    found = case.text(*path)
    if found is not None and not TOKEN.fullmatch(found):
        hint = "Use the executor's name in the fleet inventory."
        yield fail("executor-ref", path, f"executor ref {quote(found)} is not a name", hint)
