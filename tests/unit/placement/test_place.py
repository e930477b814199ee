"""Who is chosen: precedence, rank, and what never happens whatever the fleet looks like."""

import random
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane import schemas
from agentplane.fleet.inventory import Health, Inventory
from agentplane.placement.artifact import placement_decision_artifact, placement_receipt_artifact
from agentplane.placement.model import ExecutorState, Placement, PlacementRequest
from agentplane.placement.place import BY_BUNDLE, BY_CALLER, BY_DEFAULT, BY_SCORE, place
from agentplane.policy import Policy
from agentplane.runs.model import Resources
from tests.executors import WORKING, node
from tests.unit.placement.material import HANGS, NOW, REQUEST, ask, codes, fleet, row, state

ABC = (node("a"), node("b"), node("c"))
FULL = Resources(vcpus=4, memory_mib=0, disk_mib=0)


def test_the_bundles_reference_precedes_all() -> None:
    placement = ask(fleet(*ABC, default="a"), *map(state, "abc"), executor_ref="c", wish="b")
    assert (placement.chosen, placement.rule) == ("c", BY_BUNDLE)
    assert codes(row(placement, "a")) == ["not-named"]


def test_the_callers_wish_precedes_the_default() -> None:
    placement = ask(fleet(*ABC, default="a"), *map(state, "abc"), wish="b")
    assert (placement.chosen, placement.rule) == ("b", BY_CALLER)


def test_the_default_precedes_a_better_score() -> None:
    placement = ask(fleet(*ABC, default="b"), state("a", kvm=WORKING), state("b"), state("c"))
    assert (placement.chosen, placement.rule) == ("b", BY_DEFAULT)
    assert codes(row(placement, "a")) == ["outranked"]


def test_a_default_that_cannot_leaves_it_to_the_best_of_the_rest() -> None:
    placement = ask(fleet(*ABC, default="b"), state("a"), state("b", draining=True), state("c", kvm=WORKING))
    assert (placement.chosen, placement.rule) == ("c", BY_SCORE)


@pytest.mark.parametrize("name", ["executor_ref", "wish"])
@pytest.mark.parametrize("target", ["b", "nobody"])
def test_a_name_that_cannot_waits_rather_than_go_elsewhere(name: str, target: str) -> None:
    wish: dict[str, Any] = {name: target}
    placement = ask(fleet(*ABC), state("a"), state("b", draining=True), state("c"), **wish)
    assert placement.chosen is None
    assert target in placement.message
    assert "waits" in placement.message
    assert row(placement, "a").feasible
    assert row(placement, target).remedies


def test_working_kvm_is_preferred_and_equal_scores_go_by_name() -> None:
    assert ask(fleet(*ABC), *map(state, "cba")).chosen == "a"
    assert ask(fleet(*ABC), state("a", kvm=HANGS), state("b", kvm=WORKING)).chosen == "b"


def test_the_emptier_executor_is_preferred() -> None:
    busy = Resources(vcpus=1, memory_mib=256, disk_mib=1024)
    assert ask(fleet(*ABC), state("a", leases=(busy,)), state("b")).chosen == "b"


def test_a_degraded_executor_works_only_while_no_ready_one_can() -> None:
    inventory = fleet(node("a", health=Health.DEGRADED), node("b"), default="a")
    with_ready = ask(inventory, state("a", kvm=WORKING), state("b"))
    assert with_ready.chosen == "b"
    assert codes(row(with_ready, "a")) == ["degraded"]
    assert ask(inventory, state("a"), state("b", leases=(FULL,))).chosen == "a"


def test_a_degraded_executor_that_is_named_is_taken() -> None:
    inventory = fleet(node("a", health=Health.DEGRADED), node("b"))
    assert ask(inventory, state("a"), state("b"), executor_ref="a").chosen == "a"


def test_without_prefer_healthy_a_degraded_executor_competes() -> None:
    inventory = fleet(node("a", health=Health.DEGRADED), node("b"), prefer_healthy=False)
    assert ask(inventory, state("a", kvm=WORKING), state("b")).chosen == "a"


def test_fleet_means_the_best_backend_the_executor_has() -> None:
    assert ask(fleet(*ABC), state("a"), lane="dev", backend_intent="fleet").backend == "microvm"
    only_process = state("a", backends=("process",))
    assert ask(fleet(*ABC), only_process, lane="dev", backend_intent="fleet").backend == "process"


def test_an_empty_fleet_says_so() -> None:
    placement = ask(fleet())
    assert (placement.chosen, placement.table) == (None, ())
    assert "no executor" in placement.message


def test_a_run_that_waited_is_placed_when_an_executor_that_fits_appears() -> None:
    assert ask(fleet(*ABC), state("a", leases=(FULL,))).chosen is None
    assert ask(fleet(*ABC), state("a", leases=(FULL,)), state("b")).chosen == "b"


HEALTHS = st.sampled_from(list(Health))
nodes = st.builds(
    lambda name, enabled, health, arch: node(name, enabled=enabled, health=health, arch=arch),
    st.sampled_from("abcd"),
    st.booleans() | st.just(value=True),
    HEALTHS | st.just(Health.READY),
    st.sampled_from(["x86_64", "x86_64", "aarch64"]),
)
states = st.builds(
    lambda name, kvm, age_s, used, draining, backends: state(
        name,
        kvm=kvm,
        last_seen=NOW - timedelta(seconds=age_s),
        leases=(Resources(vcpus=used, memory_mib=0, disk_mib=0),),
        draining=draining,
        backends=backends,
    ),
    st.sampled_from("abcde"),
    st.sampled_from([WORKING, HANGS]),
    st.integers(0, 40),
    st.integers(0, 5),
    st.booleans(),
    st.sampled_from([("microvm",), ("process",), ("microvm", "process"), ()]),
)
names = st.none() | st.sampled_from("abcdef")
requests = st.builds(
    lambda intent, lane, ref, wish, vcpus, excluded: PlacementRequest(
        backend_intent=intent,
        network_mode="none",
        resources=Resources(vcpus=vcpus, memory_mib=256, disk_mib=1024),
        lane=lane,
        executor_ref=ref,
        wish=wish,
        excluded=excluded,
    ),
    st.sampled_from(["microvm", "fleet", "lima-process"]),
    st.sampled_from(["dev", "staging"]),
    names,
    names,
    st.integers(1, 5),
    st.sampled_from([(), ("a",)]),
)
inventories = st.builds(
    lambda found, default, prefer: fleet(*found, default=default, prefer_healthy=prefer),
    st.lists(nodes, max_size=4, unique_by=lambda found: found.name),
    names,
    st.booleans(),
)
fleets = st.lists(states, max_size=5, unique_by=lambda found: found.name)


@given(requests, inventories, fleets, st.randoms(use_true_random=False))
def test_the_order_in_which_executors_come_changes_nothing(
    request: PlacementRequest, inventory: Inventory, found: list[ExecutorState], order: random.Random
) -> None:
    first = place(request, inventory, found, Policy(), NOW)
    order.shuffle(found)
    listed = list(inventory.executors)
    order.shuffle(listed)
    shuffled = fleet(*listed, default=inventory.default_executor, prefer_healthy=inventory.prefer_healthy)
    assert place(request, shuffled, found, Policy(), NOW) == first


@given(requests, inventories, fleets)
def test_nobody_is_chosen_who_cannot_and_nobody_is_left_out_of_the_table(
    request: PlacementRequest, inventory: Inventory, found: list[ExecutorState]
) -> None:
    placement = place(request, inventory, found, Policy(), NOW)
    everybody = {listed.name for listed in inventory.executors} | {reported.name for reported in found}
    assert everybody <= {check.executor for check in placement.table}
    assert len(placement.table) == len({check.executor for check in placement.table})
    for check in placement.table:
        if check.executor == placement.chosen:
            _assert_can(request, inventory, found, placement)
        else:
            assert check.reasons
            assert check.remedies


def _assert_can(
    request: PlacementRequest, inventory: Inventory, found: list[ExecutorState], placement: Placement
) -> None:
    """An independent look at the chosen one."""
    name = placement.chosen
    listed = next(entry for entry in inventory.executors if entry.name == name)
    reported = next(entry for entry in found if entry.name == name)
    facts = reported.facts
    assert facts is not None
    assert reported.last_seen is not None
    assert listed.enabled
    assert listed.health in {Health.READY, Health.DEGRADED}
    assert listed.arch == facts.arch
    assert not facts.draining
    assert NOW - reported.last_seen <= timedelta(seconds=30)
    assert placement.backend in facts.backends
    assert placement.backend != "process" or request.lane == "dev"
    assert facts.vcpus - reported.used.vcpus >= request.resources.vcpus
    assert name not in request.excluded
    assert name == (request.executor_ref or request.wish or name)


DIGEST = "sha256:" + "0" * 64


@given(requests, inventories, fleets)
def test_a_decision_conforms_and_names_everybody_else_with_a_reason(
    request: PlacementRequest, inventory: Inventory, found: list[ExecutorState]
) -> None:
    placement = place(request, inventory, found, Policy(), NOW)
    if placement.chosen is None:
        with pytest.raises(ValueError, match="nothing was chosen"):
            placement_decision_artifact(
                placement, inventory, backend_intent="microvm", pins_digest=DIGEST, captured_at=NOW
            )
        return
    decision = placement_decision_artifact(
        placement, inventory, backend_intent=request.backend_intent, pins_digest=DIGEST, captured_at=NOW
    )
    assert schemas.check("placement-decision.v0.1", decision) == ()
    assert (decision["caps"]["pinsDigest"], decision["caps"]["backend"]) == (DIGEST, placement.backend)
    assert {entry["name"] for entry in decision["rejected"]} == {c.executor for c in placement.table} - {
        placement.chosen
    }
    assert all(entry["reason"] for entry in decision["rejected"])


def test_a_receipt_is_about_its_decision_for_both_judges() -> None:
    inventory = fleet(*ABC)
    placement = place(REQUEST, inventory, map(state, "ab"), Policy(), NOW)
    decision = placement_decision_artifact(
        placement, inventory, backend_intent="microvm", pins_digest=DIGEST, captured_at=NOW
    )
    receipt = placement_receipt_artifact(
        decision, bundle="sample@1.0.0", backend="microvm", lane="staging", signed_by="0" * 64, created_at=NOW
    )
    assert schemas.check("placement-receipt.v0.1", receipt) == ()
    jsonschema.Draft202012Validator(schemas.document("placement-receipt.v0.1")).validate(receipt)
    assert receipt["decision"]["chosenSite"] == decision["chosenExecutor"] == "a"
    assert receipt["decision"]["rejectedSites"] == decision["rejected"]
