"""The typed bundle, its pins, and what hostile documents cannot do to the rules."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplane import schemas
from agentplane.bundles.artifact import validation_artifact
from agentplane.bundles.edge import inspect
from agentplane.bundles.model import bundle_of
from agentplane.bundles.paths import candidates, out_dir, relative
from agentplane.bundles.pins import pin
from agentplane.bundles.validate import validate
from agentplane.canonical import digest_value
from agentplane.documents.edge import read_document
from agentplane.documents.model import Document
from agentplane.documents.parse import parse_json
from agentplane.errors import Refused
from agentplane.policy import LanePolicy, Policy
from agentplane.runs.model import Resources, RunRequested, StorePath
from tests.unit.bundles.material import FILES, FIXTURES, POLICY, codes, fact, report_on, valid

REPOSITORY = FIXTURES.parents[2] / "bundles"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOURCE = StorePath(path="/nix/store/" + "a" * 32 + "-bundle-sample", nar_hash="sha256:x")


def _bundle(**changes: Any) -> Any:
    return bundle_of(Document.of(valid(**changes), "test"), FILES)


def test_what_is_optional_has_its_default() -> None:
    value = valid()
    del value["spec"]["vm"]["resources"], value["spec"]["vm"]["network"], value["spec"]["vm"]["mounts"]
    del value["spec"]["policy"]["failOnTimeout"]
    bundle = bundle_of(Document.of(value, "test"), FILES)
    assert bundle.resources == Resources(vcpus=1, memory_mib=512, disk_mib=1024)
    assert (bundle.network_mode, bundle.fail_on_timeout, bundle.asks_for_gate) == ("none", True, False)


def test_writable_mounts_of_the_out_dir_are_artifact_targets_whatever_their_type() -> None:
    def mount(source: str, target: str, *, ro: bool) -> dict[str, Any]:
        return {"type": "9p", "source": source, "target": target, "ro": ro}

    mounts = [
        mount("artifacts", "/mnt/a", ro=False),
        mount("./x/../artifacts", "/mnt/b", ro=False),
        mount("./artifacts", "/mnt/c", ro=True),
        mount("lib", "/mnt/d", ro=False),
    ]
    assert _bundle(**{"spec.vm.mounts": mounts}).artifact_targets == ("/mnt/a", "/mnt/b")


def test_a_run_is_pinned_by_everything_that_determines_it() -> None:
    value = valid(**{"spec.secrets.required": ["TOKEN"], "spec.secrets.secretRefRoot": "secrets://user"})
    bundle = bundle_of(Document.of(value, "test"), FILES)
    intent = RunRequested(bundle=value, bundle_path="x", source=SOURCE, files=FILES, seed="7")
    pins = pin(bundle, intent, POLICY.digest(), NOW)
    assert pins.bundle == "sample@1.0.0"
    assert pins.bundle_digest == digest_value(value)
    assert (pins.module, pins.smoke, pins.out_dir) == ("guest.nix", "smoke.sh", "artifacts")
    assert (pins.secrets, pins.secret_ref_root, pins.seed) == (("TOKEN",), "secrets://user", "7")
    assert (pins.clock_base, pins.policy_digest) == ("2026-01-31T12:00:00.000000Z", POLICY.digest())


def test_the_digest_is_of_the_document_not_of_its_spelling() -> None:
    spelled = json.dumps(dict(reversed(valid().items())), indent=3).encode()
    assert bundle_of(parse_json(spelled, "x"), FILES).digest == _bundle().digest


def test_what_is_not_valid_has_no_typed_form() -> None:
    with pytest.raises(Refused) as caught:
        bundle_of(Document.of({"kind": "Bundle"}, "x"), FILES)
    assert caught.value.code == "bundle.shape"


def test_the_seeds_example_is_valid_as_written_and_says_that_it_will_wait() -> None:
    document = read_document(FIXTURES.parent / "documents" / "seeds-example-agent.bundle.json")
    files = (fact("vm.nix"), fact("smoke.sh", executable=True))
    report = validate(document, files, POLICY)
    assert report.valid
    assert codes(report) == {"bundle.backend.waits", "bundle.network.waits"}
    bundle = bundle_of(document, files)
    assert (bundle.ref, bundle.module, bundle.smoke) == ("example-agent@0.1.0", "vm.nix", "smoke.sh")
    assert bundle.artifact_targets == ("/mnt/artifacts",)
    artifact = validation_artifact(report, NOW)
    assert artifact["governanceContext"] == document.value["spec"]["governanceContext"]
    assert schemas.check("validation-artifact.v0.1", artifact) == ()


def test_a_policy_that_allows_it_lets_the_seeds_example_run() -> None:
    document = read_document(FIXTURES.parent / "documents" / "seeds-example-agent.bundle.json")
    policy = Policy(lanes={"staging": LanePolicy(backends=("process",), networks=("none", "nat"))})
    report = validate(document, (fact("vm.nix"), fact("smoke.sh", executable=True)), policy)
    assert report.findings == ()


@pytest.mark.parametrize("name", sorted(path.name for path in REPOSITORY.iterdir() if path.is_dir()))
def test_the_repositorys_own_bundles_are_valid(name: str) -> None:
    document, files, _ = inspect(REPOSITORY / name)
    report = validate(document, files, POLICY)
    assert report.failures == ()
    assert report.name == name


@pytest.mark.parametrize("path", ["..", "../x", "/x", "a/../../x", "a\\b", "a\nb", "", "x" * 256, "a\x00"])
def test_paths_that_lead_out_have_no_form(path: str) -> None:
    assert relative(path) is None
    assert candidates(path) == ()


@given(st.lists(st.sampled_from(["..", ".", "a", "bundles", "", "x y", "*"]), max_size=8).map("/".join))
def test_no_path_leads_out(path: str) -> None:
    for found in [*candidates(path), out_dir(path) or "a"]:
        assert not found.startswith(("/", "../"))
        assert found != ".."
        assert ".." not in found.split("/")


def test_the_run_directory_itself_is_no_artifact_directory() -> None:
    assert [out_dir(path) for path in (".", "./", "a/..")] == [None, None, None]
    assert out_dir("./a//b/") == "a/b"


scalars = st.none() | st.booleans() | st.integers(-5, 5000) | st.sampled_from(["", "dev", "prod", "9p", "/etc", "../x"])
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["ro", "x"]), inner),
    max_leaves=6,
)
PLACES = [
    *("apiVersion", "metadata", "metadata.name", "metadata.version", "metadata.createdAt", "metadata.licensePolicy"),
    *("spec", "spec.vm", "spec.vm.mounts", "spec.vm.resources", "spec.vm.network", "spec.vm.modulePath"),
    *("spec.policy", "spec.policy.lane", "spec.policy.maxRunSeconds", "spec.secrets", "spec.secrets.required"),
    *("spec.artifacts", "spec.artifacts.outDir", "spec.smoke", "spec.smoke.script", "spec.trust", "spec.executor"),
    *("spec.chronosCarrier", "spec.sourceos", "spec.policy.abstractReasoning"),
]


@given(place=st.sampled_from(PLACES), value=junk, api=st.sampled_from(["v0.1", "v0.2"]))
def test_no_document_breaks_a_rule_and_what_is_valid_can_be_pinned(place: str, value: Any, api: str) -> None:
    document = valid(**{place: value})
    if place != "apiVersion":
        document["apiVersion"] = f"agentplane.socioprophet.org/{api}"
    report = report_on(document)
    assert report == report_on(document)
    if report.valid:
        bundle = bundle_of(Document.of(document, "test"), FILES)
        assert 5 <= bundle.max_run_seconds <= 3600
        assert bundle.lane in {"dev", "staging", "prod"}


def test_ten_thousand_warnings_hide_no_failure() -> None:
    mount = {"type": "none", "source": "lib", "ro": True}
    mounts = [{**mount, "target": f"/mnt/{index}"} for index in range(2000)]
    report = report_on(valid(**{"spec.vm.mounts": [*mounts, {**mount, "target": "/etc"}]}))
    assert [finding.code for finding in report.failures] == ["bundle.mount.target-system"]
    assert len(report.findings) <= 200
