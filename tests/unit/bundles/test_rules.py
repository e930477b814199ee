"""One fixture per rule, named after its defect: each finds exactly what it is about."""

from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest

from agentplane import schemas
from agentplane.bundles.artifact import validation_artifact
from agentplane.bundles.codes import CODES
from agentplane.policy import LanePolicy, Policy
from tests.unit.bundles.expected import EXPECTED
from tests.unit.bundles.material import FILES, FIXTURES, codes, fact, fixture, judge, report_on, valid

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
# defects that break more than one rule by their nature
COMPANIONS = {
    "kind-is-not-bundle": set(),
    "image-production-incomplete": {"bundle.image-production"},
    "secret-in-automation": {"bundle.image-production"},
    "secret-as-key": set(),
    "secret-values-inline": {"bundle.unknown-field"},
    "breaks-glass-itself": set(),
}
SECRETS = ("ghp_", "correct horse", "xyzzy-plugh", "123456")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_defect_is_found_where_it_is(name: str) -> None:
    code, severity, path = EXPECTED[name]
    report = judge(name)
    found = {(finding.code, finding.severity.value, finding.path) for finding in report.findings}
    assert (f"bundle.{code}", severity, path) in found
    assert codes(report) - {f"bundle.{code}"} <= COMPANIONS.get(name, set())
    assert report.valid == (severity == "warn")


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_finding_says_where_why_and_what_to_do(name: str) -> None:
    for finding in judge(name).findings:
        assert finding.line is not None
        assert finding.line >= 1
        assert finding.message
        assert finding.hint or finding.code == "bundle.schema"


def test_every_fixture_is_expected_and_every_expectation_has_one() -> None:
    files = {path.name.removesuffix(".json") for path in FIXTURES.glob("*.json")}
    assert files == EXPECTED.keys() | {"valid-v0.1", "valid-v0.2"}


def test_every_code_is_announced_and_every_announced_code_occurs() -> None:
    occurring = {f"bundle.{code}" for code, _, _ in EXPECTED.values()}
    elsewhere = {"bundle.lane.forbidden", "bundle.files.symlink", "bundle.files.special"}  # tested below
    assert occurring | elsewhere == CODES.keys()


@pytest.mark.parametrize("name", ["valid-v0.1", "valid-v0.2"])
def test_a_valid_bundle_has_no_finding(name: str) -> None:
    report = judge(name)
    assert report.findings == ()
    assert {check.status for check in report.checks} == {"pass"}


def test_a_closed_lane_is_refused() -> None:
    policy = Policy(lanes={"dev": LanePolicy()})
    report = report_on(valid(), policy=policy)
    assert codes(report) == {"bundle.lane.forbidden"}


@pytest.mark.parametrize(("kind", "code"), [("symlink", "bundle.files.symlink"), ("other", "bundle.files.special")])
def test_what_must_not_lie_in_a_bundle_is_named(kind: str, code: str) -> None:
    report = report_on(valid(), (*FILES, fact("deep/thing", kind)))
    assert codes(report) == {code}
    assert "deep/thing" in report.findings[0].message


def test_a_smoke_script_that_is_a_link_out_is_found_once() -> None:
    report = report_on(valid(), (FILES[0], fact("smoke.sh", "symlink")))
    assert codes(report) == {"bundle.files.symlink"}


def test_all_findings_come_together_in_the_order_of_the_rules() -> None:
    value = valid(**{"metadata.name": "X", "spec.policy.maxRunSeconds": 1, "spec.artifacts.outDir": "/"})
    report = report_on(value, ())
    found = [finding.code for finding in report.failures]
    expected = ["name", "max-run-seconds.range", "module.missing", "smoke.missing", "out-dir"]
    assert found == [f"bundle.{code}" for code in expected]


def test_a_schema_finding_does_not_repeat_a_rules_finding() -> None:
    report = report_on(valid(**{"spec.policy.maxRunSeconds": "soon", "spec.policy.lane": "moon"}))
    paths = [finding.path for finding in report.failures]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.startswith("secret-")))
def test_a_secret_is_never_repeated(name: str) -> None:
    report = judge(name)
    artifact = str(validation_artifact(report, NOW, version="v0.2"))
    said = str(report.to_json()) + artifact
    assert not [secret for secret in SECRETS if secret in said]


def test_a_self_granted_exception_changes_no_decision() -> None:
    asked = fixture("authorises-itself").value
    plain = fixture("valid-v0.1").value
    asked["spec"]["policy"]["lane"] = plain["spec"]["policy"]["lane"] = "prod"
    policy = Policy(lanes={"staging": LanePolicy()})
    decided = [[f.code for f in report_on(value, policy=policy).failures] for value in (asked, plain)]
    assert decided[0] == decided[1] == ["bundle.lane.forbidden"]
    assert policy.needs_gate("prod", bundle_asks=False)


@pytest.mark.parametrize("name", [*sorted(EXPECTED), "valid-v0.1", "valid-v0.2"])
@pytest.mark.parametrize("version", ["v0.1", "v0.2"])
def test_the_artifact_conforms_whatever_the_bundle_is(name: str, version: str) -> None:
    artifact = validation_artifact(judge(name), NOW, version=version)
    assert schemas.check(f"validation-artifact.{version}", artifact) == ()
    assert artifact["valid"] is (not [check for check in artifact["checks"] if check["status"] == "fail"])


def test_an_artifact_of_nothing_usable_is_about_unknown() -> None:
    report = report_on({"apiVersion": 3, "kind": "Bundle"})
    artifact = validation_artifact(report, NOW, bundle_path="x/bundle.json")
    assert artifact["bundle"] == "unknown@unknown"
    assert schemas.check("validation-artifact.v0.1", artifact) == ()


def test_lane_dev_is_null_in_the_seeds_form_and_named_in_ours() -> None:
    report = report_on(valid(**{"spec.policy.lane": "dev"}))
    assert report.valid
    assert validation_artifact(report, NOW)["lane"] is None
    assert validation_artifact(report, NOW, version="v0.2")["lane"] == "dev"


@pytest.mark.parametrize("name", [*sorted(EXPECTED), "valid-v0.1", "valid-v0.2"])
def test_a_second_judge_agrees_about_the_schema(name: str) -> None:
    value: dict[str, Any] = fixture(name).value
    for schema in ("bundle.v0.1", "bundle.v0.2"):
        second = jsonschema.Draft202012Validator(schemas.document(schema))
        assert bool(schemas.check(schema, value)) == (not second.is_valid(value)), schema


TOKEN = "ghp_" + "x" * 36
STRINGS = [
    *(
        "apiVersion",
        "kind",
        "metadata.name",
        "metadata.version",
        "metadata.createdAt",
        "metadata.licensePolicy.allowAGPL",
    ),
    *("spec.policy.lane", "spec.policy.maxRunSeconds", "spec.policy.policyPackHash", "spec.vm.backendIntent"),
    *("spec.vm.modulePath", "spec.vm.network.mode", "spec.vm.resources.vcpu", "spec.executor.ref", "spec.smoke.script"),
    *("spec.artifacts.outDir", "spec.secrets.secretRefRoot", "spec.trust.attestationMode", "spec.vm." + TOKEN),
]


@pytest.mark.parametrize("place", STRINGS)
def test_a_token_is_found_anywhere_and_repeated_nowhere(place: str) -> None:
    report = report_on(valid(**{place: TOKEN}))
    assert not report.valid
    artifact = validation_artifact(report, NOW, version="v0.2")
    assert TOKEN not in str(report.to_json()) + str(artifact)


def test_a_name_that_is_a_token_is_not_quoted() -> None:
    token = "sk-" + "x" * 40  # a well-formed name, alas
    report = report_on(valid(**{"metadata.name": token}))
    assert report.bundle == "unknown@1.0.0"
    assert token not in str(report.to_json())


def test_tokens_in_lists_are_found_and_not_repeated() -> None:
    mounts = [{"type": TOKEN, "source": TOKEN, "target": f"/{TOKEN}", "ro": False}]
    report = report_on(valid(**{"spec.vm.mounts": mounts, "spec.secrets.required": [TOKEN, TOKEN]}))
    assert "bundle.secret.inline" in codes(report)
    assert TOKEN not in str(report.to_json())


def test_prod_keeps_a_ledger() -> None:
    trust = valid()["spec"]["trust"] | {"ledgerMode": "off", "policyDecisionRequired": False}
    asked = {"spec.trust": trust, "spec.policy.lane": "prod"}
    assert codes(report_on(valid(**asked))) == {"bundle.trust.contradiction"}
    assert report_on(valid(**asked | {"spec.policy.lane": "dev"})).valid
