"""One test per predicate: the reason has its code, and says what would change the answer."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agentplane.fleet.inventory import Health, Node
from agentplane.placement.codes import CODES
from agentplane.placement.model import ExecutorState
from agentplane.placement.place import place
from agentplane.policy import LanePolicy, Policy
from agentplane.runs.model import Resources
from tests.executors import WORKING, node
from tests.unit.placement.material import HANGS, NOW, REQUEST, ask, codes, fleet, row, state

BIG = Resources(vcpus=4, memory_mib=4096, disk_mib=40960)
KVM_ONLY = Policy(lanes={"staging": LanePolicy(require_kvm=True, backends=("microvm", "process"))})
VAULT = Policy(lanes={"staging": LanePolicy(trust_zones=("vault",))})

CASES: dict[str, tuple[Node, ExecutorState, dict[str, Any]]] = {
    "disabled": (node("a", enabled=False), state("a"), {}),
    "drained": (node("a", health=Health.DRAINED), state("a"), {}),
    "offline": (node("a", health=Health.OFFLINE), state("a"), {}),
    "trust-zone": (node("a"), state("a"), {"policy": VAULT}),
    "lane-forbidden": (node("a"), state("a"), {"lane": "prod", "policy": VAULT}),
    "backend-forbidden": (node("a"), state("a"), {"backend_intent": "lima-process"}),
    "network-forbidden": (node("a"), state("a", networks=("none", "nat")), {"network_mode": "nat"}),
    "excluded": (node("a"), state("a"), {"excluded": ("a",)}),
    "fenced": (node("a"), state("a", fenced="it signs with another key"), {}),
    "unreachable": (node("a"), state("a", last_seen=NOW - timedelta(seconds=31)), {}),
    "draining": (node("a"), state("a", draining=True), {}),
    "retired": (node("a"), state("a", left=("retired", "retired since yesterday by user:op")), {}),
    "revoked": (node("a"), state("a", left=("revoked", "revoked since yesterday by user:op")), {}),
    "clock": (node("a"), state("a", clock="its clock is 312 s ahead, more than 60 s"), {}),
    "platform": (node("a", arch="aarch64"), state("a"), {}),
    "backend": (node("a"), state("a", backends=("process",)), {}),
    "no-kvm": (node("a"), state("a"), {"policy": KVM_ONLY}),
    "network": (
        node("a"),
        state("a"),
        {"network_mode": "nat", "policy": Policy(lanes={"staging": LanePolicy(networks=("nat",))})},
    ),
    "secret": (node("a"), state("a"), {"secrets": ("TOKEN", "OTHER")}),
    "too-small": (node("a"), state("a", vcpus=2), {"resources": BIG}),
    "capacity": (node("a"), state("a", leases=(BIG,)), {}),
}


@pytest.mark.parametrize("code", CASES)
def test_a_predicate_gives_its_reason_and_a_remedy(code: str) -> None:
    declared, reported, wish = CASES[code]
    placement = ask(fleet(declared), reported, **wish)
    check = row(placement, "a")
    assert placement.chosen is None
    assert codes(check) == [code]
    assert len(check.remedies) == 1
    assert code in placement.message
    assert (check.feasible, check.score) == (False, None)


def test_an_executor_without_any_of_these_defects_is_chosen() -> None:
    placement = ask(fleet(node("a")), state("a"))
    assert (placement.chosen, row(placement, "a").reasons) == ("a", ())


def test_an_executor_nobody_declared_is_not_in_the_inventory() -> None:
    assert codes(row(ask(fleet(node("a")), state("ghost")), "ghost")) == ["not-in-inventory"]


def test_an_executor_that_never_reported_is_unreachable_and_only_that() -> None:
    assert codes(row(ask(fleet(node("a"))), "a")) == ["unreachable"]


def test_all_reasons_are_given_together() -> None:
    declared = node("a", enabled=False, health=Health.DRAINED)
    check = row(ask(fleet(declared), state("a", draining=True, leases=(BIG,)), secrets=("X",)), "a")
    assert codes(check) == ["disabled", "drained", "draining", "secret", "capacity"]


def test_an_operators_drain_says_since_when_and_by_whom() -> None:
    check = row(ask(fleet(node("a")), state("a", drain="since 2026-03-01T12:00:00Z by user:op (new disks)")), "a")
    assert check.reasons == ("draining: draining since 2026-03-01T12:00:00Z by user:op (new disks)",)
    assert check.remedies == ("agentplane executor resume a",)


def test_the_probes_own_words_say_why_there_is_no_kvm() -> None:
    check = row(ask(fleet(node("a")), state("a", kvm=HANGS), policy=KVM_ONLY), "a")
    assert HANGS.cause in check.reasons[0]
    assert ask(fleet(node("a")), state("a", kvm=WORKING), policy=KVM_ONLY).chosen == "a"


def test_a_lane_that_demands_kvm_still_runs_processes() -> None:
    placement = ask(fleet(node("a")), state("a"), policy=KVM_ONLY, backend_intent="fleet")
    assert (placement.chosen, placement.backend, placement.requires_kvm) == ("a", "process", True)


def test_what_the_inventory_does_not_allow_is_not_run_even_if_reported() -> None:
    check = row(ask(fleet(node("a", backends=frozenset({"process"}))), state("a")), "a")
    assert codes(check) == ["backend"]
    assert "the inventory allows process" in check.reasons[0]


def test_a_pinned_guest_stays_on_its_architecture() -> None:
    assert codes(row(ask(fleet(node("a")), state("a"), arch="arm64"), "a")) == ["platform"]
    assert ask(fleet(node("a")), state("a"), arch="amd64").chosen == "a"


def test_only_linux_hosts_run_guests() -> None:
    assert codes(row(ask(fleet(node("a", os="darwin")), state("a", os="Darwin")), "a")) == ["platform"]


def test_capacity_is_what_leases_leave() -> None:
    half = Resources(vcpus=2, memory_mib=2048, disk_mib=1024)
    assert ask(fleet(node("a")), state("a", leases=(half,)), resources=half).chosen == "a"
    check = row(ask(fleet(node("a")), state("a", leases=(half, half)), resources=half), "a")
    assert "0 of 2 vCPUs" in check.reasons[0]


def test_words_stay_the_same_while_nothing_happens() -> None:
    seen = NOW - timedelta(seconds=31)
    first = ask(fleet(node("a")), state("a", last_seen=seen))
    later = place(REQUEST, fleet(node("a")), [state("a", last_seen=seen)], Policy(), NOW + timedelta(hours=1))
    assert first == later


def test_a_disabled_executor_may_work_where_the_inventory_does_not_require_enabled() -> None:
    inventory = replace(fleet(node("a", enabled=False)), require_enabled=False)
    assert ask(inventory, state("a")).chosen == "a"


def test_every_code_is_announced_and_every_announced_code_is_tested() -> None:
    elsewhere = {"not-in-inventory", "degraded", "outranked", "not-named"}
    assert CASES.keys() | elsewhere == CODES.keys()
