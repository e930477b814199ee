"""Who can: one checker per predicate, each with its code, its words and its remedy. Pure.

Bullets of order:
- what makes an executor unknown (not in the inventory, never reported) ends its row: nothing else can be said of it
- every other predicate is asked, so that one look at the table shows all that is in the way
- "degraded" is last and relative: it counts only while a ready executor could take the run instead
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from agentplane.clock import rfc3339
from agentplane.fleet.inventory import Health, architecture
from agentplane.placement.model import Candidate, PlacementRequest, Reason, free, names
from agentplane.policy import INTENTS
from agentplane.runs.model import Resources

Reasons = Iterator[Reason]
Checker = Callable[[Candidate, PlacementRequest], Reasons]


def reasons(candidate: Candidate, request: PlacementRequest) -> tuple[Reason, ...]:
    """Everything that keeps a candidate from taking the run, except being degraded; empty when nothing does."""
    unknown = tuple(_not_in_inventory(candidate, request))
    if unknown:
        return unknown
    checkers = _DECLARED if candidate.state.facts is None else _DECLARED + _REPORTED
    return tuple(reason for checker in checkers for reason in checker(candidate, request))


def degraded(candidate: Candidate) -> bool:
    """Whether people declared it degraded."""
    return candidate.node is not None and candidate.node.health is Health.DEGRADED


def degraded_reason(ready: str) -> Reason:
    """Why a degraded executor is not taken while a ready one could."""
    words = f"declared degraded, and {ready} is ready"
    return Reason("degraded", words, "Set health.state to ready, or selectionPolicy.preferHealthy to false.")


def _not_in_inventory(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.node is None:
        remedy = f"Add {candidate.name} to the fleet inventory."
        yield Reason("not-in-inventory", "the inventory does not list it", remedy)


def _disabled(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.node and not candidate.node.enabled and candidate.require_enabled:
        yield Reason("disabled", "the inventory disables it", f"Set enabled to true for {candidate.name}.")


def _health(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.node and candidate.node.health in {Health.DRAINED, Health.OFFLINE}:
        state = candidate.node.health.value
        yield Reason(state, f"declared {state}", f"Set health.state of {candidate.name} to ready.")


def _trust_zone(candidate: Candidate, request: PlacementRequest) -> Reasons:
    lane = candidate.lane(request)
    if candidate.node and lane and lane.trust_zones and candidate.node.trust_zone not in lane.trust_zones:
        words = f"zone {candidate.node.trust_zone}; lane {request.lane} wants {' or '.join(lane.trust_zones)}"
        yield Reason("trust-zone", words, f"Change policy.lanes.{request.lane}.trustZones, or the host's trustZone.")


def _lane(candidate: Candidate, request: PlacementRequest) -> Reasons:
    lane = candidate.lane(request)
    if lane is None:
        remedy = f"Open policy.lanes.{request.lane}."
        yield Reason("lane-forbidden", f"policy closes lane {request.lane}", remedy)
        return
    if not candidate.policy.backends(request.backend_intent, request.lane):
        wanted = " or ".join(INTENTS.get(request.backend_intent, ())) or "a runner for it"
        words = f"policy allows no {request.backend_intent} in lane {request.lane}"
        yield Reason("backend-forbidden", words, f"Ask for {wanted} in policy.lanes.{request.lane}.backends.")
    if request.network_mode not in lane.networks:
        words = f"policy allows no network {request.network_mode} in lane {request.lane}"
        remedy = f"Use network mode none, or ask for it in policy.lanes.{request.lane}.networks."
        yield Reason("network-forbidden", words, remedy)


def _excluded(candidate: Candidate, request: PlacementRequest) -> Reasons:
    if candidate.name in request.excluded:
        remedy = "Repair the host and run the bundle again."
        yield Reason("excluded", "an earlier attempt of this run was lost there", remedy)


def _left(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.state.left is not None:
        code, words = candidate.state.left
        yield Reason(code, words, "Let the host join under another name; take this one out of the inventory.")


def _clock(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.state.clock is not None:
        remedy = f"Synchronise the clock of {candidate.name} (chronyc makestep); the next heartbeat notices."
        yield Reason("clock", candidate.state.clock, remedy)


def _fenced(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.state.fenced is not None:
        remedy = "Look at its evidence; register its key again when it is trusted."
        yield Reason("fenced", candidate.state.fenced, remedy)


def _unreachable(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    seen, limit = candidate.state.last_seen, timedelta(seconds=candidate.policy.stale_after_s)
    remedy = f"Start agentplane-executor on {candidate.name}; check its NATS credentials and network."
    if seen is None or candidate.state.facts is None:
        yield Reason("unreachable", "no heartbeat yet", remedy)
    elif candidate.now - seen > limit:
        # when, not how long ago: the words stay the same while nothing happens, and so does the run's waiting fact
        words = f"last heartbeat at {rfc3339(seen)}, more than {candidate.policy.stale_after_s} s ago"
        yield Reason("unreachable", words, remedy)


def _draining(candidate: Candidate, _request: PlacementRequest) -> Reasons:
    if candidate.state.drain is not None:
        words = f"draining {candidate.state.drain}"
        yield Reason("draining", words, f"agentplane executor resume {candidate.name}")
    elif candidate.state.facts and candidate.state.facts.draining:
        yield Reason("draining", "it is finishing what it has and takes nothing new", "Start it again.")


def _platform(candidate: Candidate, request: PlacementRequest) -> Reasons:
    node, facts = candidate.node, candidate.state.facts
    if node is None or facts is None:
        return
    os, arch = facts.os.lower(), architecture(facts.arch)
    if os != node.os or (node.arch and arch != node.arch):
        words = f"reports {os}/{arch}, declared {node.os}/{node.arch}"
        yield Reason("platform", words, "Correct platform in the inventory, or the host.")
    elif os != "linux":
        yield Reason("platform", f"runs {os}; guests need linux", "Use a Linux host.")
    elif request.arch is not None and arch != architecture(request.arch):
        words = f"is {arch}, the pinned guest is {architecture(request.arch)}"
        yield Reason("platform", words, "Use a host of that architecture.")


def _backend(candidate: Candidate, request: PlacementRequest) -> Reasons:
    allowed = candidate.policy.backends(request.backend_intent, request.lane)
    if not allowed or candidate.state.facts is None or candidate.node is None:
        return  # `_lane` has said so
    if not candidate.served(request):
        declared = candidate.node.backends
        limit = "" if declared is None else f", the inventory allows {names(sorted(declared))}"
        words = f"needs {' or '.join(allowed)}; it runs {names(candidate.state.facts.backends)}{limit}"
        yield Reason("backend", words, "Enable that backend on the executor and in supportedBackends.")
    elif not candidate.usable(request):
        words = f"lane {request.lane} demands KVM, and the probe said: {candidate.state.facts.kvm.cause}"
        yield Reason("no-kvm", words, f"Repair KVM there (agentplane doctor), or allow TCG for lane {request.lane}.")


def _network(candidate: Candidate, request: PlacementRequest) -> Reasons:
    facts = candidate.state.facts
    if facts and request.network_mode not in facts.networks:
        words = f"offers network {names(facts.networks)}, not {request.network_mode}"
        yield Reason("network", words, "Use network mode none, or an executor that offers it.")


def _secrets(candidate: Candidate, request: PlacementRequest) -> Reasons:
    facts = candidate.state.facts
    lacking = [name for name in request.secrets if facts and name not in facts.secrets]
    if lacking:
        remedy = f"Put {names(lacking)} into the secrets directory of {candidate.name}."
        yield Reason("secret", f"cannot deliver {names(lacking)}", remedy)


def _capacity(candidate: Candidate, request: PlacementRequest) -> Reasons:
    facts = candidate.state.facts
    if facts is None:
        return
    total = Resources(vcpus=facts.vcpus, memory_mib=facts.memory_mib, disk_mib=facts.disk_mib)
    too_small, busy = _short(request.resources, total), _short(request.resources, free(candidate.state))
    if too_small:
        yield Reason("too-small", f"has {names(too_small)}", "Ask for less, or use a larger host.")
    elif busy:
        yield Reason("capacity", f"has {names(busy)} left", "Wait for a run there to end, or add an executor.")


def _short(asked: Resources, there: Resources) -> list[str]:
    rows = (
        ("vCPUs", asked.vcpus, there.vcpus),
        ("MiB memory", asked.memory_mib, there.memory_mib),
        ("MiB disk", asked.disk_mib, there.disk_mib),
    )
    return [f"{has} of {needs} {what}" for what, needs, has in rows if has < needs]


_DECLARED: Final[tuple[Checker, ...]] = (
    _disabled,
    _health,
    _trust_zone,
    _lane,
    _excluded,
    _left,
    _fenced,
    _unreachable,
)
_REPORTED: Final[tuple[Checker, ...]] = (_draining, _clock, _platform, _backend, _network, _secrets, _capacity)
