"""Inventories: one fixture per defect, one model for both shapes."""

from pathlib import Path

import jsonschema
import pytest

from agentplane import schemas
from agentplane.documents.edge import read_document
from agentplane.documents.model import Document
from agentplane.errors import Refused
from agentplane.fleet.codes import CODES
from agentplane.fleet.inventory import Health, inventory_of
from agentplane.fleet.validate import validate_inventory
from agentplane.policy import LanePolicy, Policy

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests" / "fixtures" / "fleet"
SAMPLE = ROOT / "fleet" / "inventory.json"
EXPECTED = {
    "legacy": ("fleet.legacy", "warn", ""),
    "duplicate-name": ("fleet.duplicate-name", "fail", "/executors/1/name"),
    "name-with-dots": ("fleet.name", "fail", "/executors/1/name"),
    "default-executor-not-listed": ("fleet.default-executor", "fail", "/defaultExecutor"),
    "default-builder-not-listed": ("fleet.default-builder", "fail", "/defaultBuilder"),
    "default-executor-disabled": ("fleet.default-executor.unusable", "warn", "/defaultExecutor"),
    "default-executor-drained": ("fleet.default-executor.unusable", "warn", "/defaultExecutor"),
    "default-builder-disabled": ("fleet.default-builder.unusable", "warn", "/defaultBuilder"),
    "ssh-ref-is-an-option": ("fleet.ssh-ref", "fail", "/executors/1/sshRef"),
    "trust-zone-empty": ("fleet.trust-zone", "fail", "/executors/1/trustZone"),
    "health-unknown": ("fleet.schema", "fail", "/executors/1/health/state"),
    "backend-unknown": ("fleet.schema", "fail", "/executors/1/supportedBackends/0"),
    "field-unknown": ("fleet.unknown-field", "fail", "/region"),
    "executors-missing": ("fleet.missing", "fail", "/executors"),
    "api-version-unknown": ("fleet.schema", "fail", "/apiVersion"),
    "legacy-without-executors": ("fleet.schema", "fail", "/executors"),
    "legacy-default-not-listed": ("fleet.default-executor", "fail", "/defaultExecutor"),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_defect_is_found_where_it_is(name: str) -> None:
    document = read_document(FIXTURES / f"{name}.json")
    code, severity, path = EXPECTED[name]
    found = {(finding.code, finding.severity.value, finding.path): finding for finding in validate_inventory(document)}
    assert (code, severity, path) in found
    assert found[code, severity, path].line is not None
    if severity == "fail":
        with pytest.raises(Refused) as caught:
            inventory_of(document)
        assert caught.value.code == "fleet.invalid"
        assert str(document.origin) in str(caught.value.where)
    else:
        assert inventory_of(document).executors


def test_every_fixture_is_expected() -> None:
    assert {path.stem for path in FIXTURES.glob("*.json")} == EXPECTED.keys()


def test_every_code_is_announced_and_every_announced_code_occurs() -> None:
    assert {code for code, _, _ in EXPECTED.values()} | {"fleet.trust-zone.empty"} == CODES.keys()


def test_the_sample_is_valid_by_both_judges_and_holds_what_the_stack_starts() -> None:
    document = read_document(SAMPLE)
    assert validate_inventory(document, Policy()) == ()
    jsonschema.Draft202012Validator(schemas.document("fleet-inventory.v0.1")).validate(document.value)
    inventory = inventory_of(document)
    assert inventory.default_executor == "exec-local"
    assert [node.name for node in inventory.executors] == ["exec-local", "exec-a", "exec-b", "exec-arm"]
    assert inventory.executors[0].backends == frozenset({"microvm", "process"})


def test_the_legacy_shape_becomes_the_same_model() -> None:
    inventory = inventory_of(read_document(FIXTURES / "legacy.json"))
    node = inventory.executors[0]
    assert (node.name, node.os, node.arch, node.health, node.enabled) == (
        "lima",
        "linux",
        "aarch64",
        Health.READY,
        True,
    )
    assert node.backends is None  # whatever it reports
    assert (inventory.default_executor, inventory.prefer_healthy) == ("lima", True)


def test_a_zone_that_a_lane_needs_and_nobody_is_in_is_noticed() -> None:
    policy = Policy(lanes={"prod": LanePolicy(trust_zones=("vault",))})
    codes = [finding.code for finding in validate_inventory(read_document(SAMPLE), policy)]
    assert codes == ["fleet.trust-zone.empty"]


def test_an_executor_that_is_not_listed_is_none() -> None:
    assert inventory_of(read_document(SAMPLE)).executor("nobody") is None


def test_backends_are_said_in_the_seeds_words_and_mean_the_runners() -> None:
    value = read_document(SAMPLE).value
    first, second, third, *_ = value["executors"]
    first["supportedBackends"] = ["fleet"]
    second["supportedBackends"] = ["qemu", "fleet"]
    del third["supportedBackends"]
    found = [node.backends for node in inventory_of(Document.of(value, "test")).executors]
    assert found[:3] == [frozenset({"microvm", "qemu", "process"}), frozenset({"qemu"}), None]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_second_judge_agrees_about_the_schema(name: str) -> None:
    value = read_document(FIXTURES / f"{name}.json").value
    for schema in ("fleet-inventory.v0", "fleet-inventory.v0.1"):
        second = jsonschema.Draft202012Validator(schemas.document(schema))
        assert bool(schemas.check(schema, value)) == (not second.is_valid(value)), schema
