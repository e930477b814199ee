"""Artifact documents: valid against the schemas that they name, and saying what the facts say."""

from typing import Any

import pytest
from msgspec.structs import replace

from agentplane import schemas
from agentplane.artifacts.document import RESERVED_NAMES, Document, RunFacts, document_fact, file_name
from agentplane.artifacts.replay import divergence_artifact, postcondition_artifact, replay_artifact, state_hash
from agentplane.artifacts.run import run_artifact, timeout_artifact
from agentplane.canonical import canonical_bytes, digest_bytes
from agentplane.errors import Refused
from agentplane.runs.model import ArtifactFact, GuestPin, StorePath
from agentplane.runs.states import Outcome
from tests.unit.evidence.story import BUNDLE, EXPECTED, FINISHED, PINS

FACTS = RunFacts(
    tenant="acme", run="hello-0001", epoch=1, executor="exec-1", pins=PINS, bundle=BUNDLE, bundle_path="/bundles/hello"
)
AT = "2026-01-31T12:00:00.000000Z"
GUEST = GuestPin(spec=StorePath(path="/nix/store/1-guest", nar_hash="sha256:1"), kernel="/nix/store/2-k", qemu="9.0")
DIVERGED = replace(FINISHED, exit_code=3, succeeded=False)


def errors(document: Document) -> list[str]:
    found = schemas.check(schemas.for_kind(document.kind, document.version), document.artifact)
    return [f"{error.path} {error.message}" for error in found]


def with_pins(**changes: Any) -> RunFacts:
    return replace(FACTS, pins=replace(PINS, **changes))


@pytest.mark.parametrize(
    "document",
    [
        run_artifact(FACTS, FINISHED, captured_at=AT, stdout_ref="console.log"),
        run_artifact(FACTS, DIVERGED, captured_at=AT),
        run_artifact(with_pins(lane="dev"), FINISHED, captured_at=AT),
        run_artifact(with_pins(backend_intent="agent-machine"), FINISHED, captured_at=AT),
        *(run_artifact(with_pins(lane="dev"), replace(FINISHED, outcome=end), captured_at=AT) for end in Outcome),
        replay_artifact(FACTS, guest=GUEST, artifact_dir="/r/artifacts", captured_at=AT),
        replay_artifact(FACTS, guest=None, artifact_dir="/r/artifacts", captured_at=AT),
        timeout_artifact(FACTS, backend="microvm", captured_at=AT),
        postcondition_artifact(FACTS, EXPECTED, FINISHED, captured_at=AT),
        postcondition_artifact(FACTS, EXPECTED, DIVERGED, captured_at=AT),
        divergence_artifact(FACTS, EXPECTED, DIVERGED, captured_at=AT),
    ],
    ids=lambda document: f"{document.kind}-{document.version}",
)
def test_documents_are_valid_against_the_schema_they_name(document: Document) -> None:
    assert errors(document) == []


def test_the_lane_dev_takes_the_newer_schema_and_no_other_does() -> None:
    assert run_artifact(with_pins(lane="dev"), FINISHED, captured_at=AT).version == "v0.2"
    assert run_artifact(with_pins(lane="staging"), FINISHED, captured_at=AT).version == "v0.1"
    assert run_artifact(with_pins(lane="prod"), FINISHED, captured_at=AT).version == "v0.1"


def test_a_failed_run_is_a_failure_with_its_exit_code() -> None:
    artifact = run_artifact(FACTS, DIVERGED, captured_at=AT).artifact
    assert (artifact["status"], artifact["exitCode"], artifact["outcome"]) == ("failure", 3, "exited")


def test_the_context_of_the_bundle_is_carried_along() -> None:
    context = {"owner": "team-a"}
    facts = replace(FACTS, bundle={**BUNDLE, "spec": {**BUNDLE["spec"], "governanceContext": context}})
    document = run_artifact(facts, FINISHED, captured_at=AT)
    assert document.artifact["governanceContext"] == context
    assert errors(document) == []


def test_a_replay_artifact_holds_every_pin() -> None:
    artifact = replay_artifact(FACTS, guest=GUEST, artifact_dir="/r/artifacts", captured_at=AT).artifact
    assert artifact["pins"]["bundleDigest"] == PINS.bundle_digest
    assert artifact["pins"]["policyDigest"] == PINS.policy_digest
    assert artifact["guest"]["spec"]["narHash"] == "sha256:1"
    assert artifact["inputs"]["bundleRev"] is None


def test_a_replay_artifact_names_the_revision_of_the_bundle() -> None:
    source = {"git": {"rev": "abc123", "dirty": False}}
    facts = replace(FACTS, bundle={**BUNDLE, "metadata": {**BUNDLE["metadata"], "source": source}})
    artifact = replay_artifact(facts, guest=None, artifact_dir="/a", captured_at=AT).artifact
    assert artifact["inputs"]["bundleRev"] == "abc123"


def test_a_match_has_equal_state_hashes_and_no_divergence() -> None:
    artifact = postcondition_artifact(FACTS, EXPECTED, FINISHED, captured_at=AT).artifact
    assert artifact["comparisonResult"] == "MATCH"
    assert artifact["expectedStateHash"] == artifact["observedStateHash"]
    assert divergence_artifact(FACTS, EXPECTED, FINISHED, captured_at=AT) is None


def test_a_divergence_says_what_differs() -> None:
    artifact = postcondition_artifact(FACTS, EXPECTED, DIVERGED, captured_at=AT).artifact
    assert artifact["comparisonResult"] == "FAIL"
    assert artifact["failedConditions"] == ["exit code: 0 became 3"]
    assert artifact["expectedStateHash"] != artifact["observedStateHash"]
    divergence = divergence_artifact(FACTS, EXPECTED, DIVERGED, captured_at=AT)
    assert divergence is not None
    assert (divergence.artifact["divergenceClass"], divergence.artifact["severity"]) == (
        "EXECUTION_FAILURE",
        "CRITICAL",
    )


def test_the_state_hash_does_not_depend_on_the_order_of_files() -> None:
    files = (
        ArtifactFact(path="a", sha256="0" * 64, size_bytes=1),
        ArtifactFact(path="b", sha256="1" * 64, size_bytes=2),
    )
    assert state_hash(Outcome.EXITED, 0, files) == state_hash(Outcome.EXITED, 0, files[::-1])


def test_the_bytes_of_a_document_are_canonical_and_its_fact_fits_them() -> None:
    document = run_artifact(FACTS, FINISHED, captured_at=AT)
    assert document.data == canonical_bytes(document.artifact)
    fact = document_fact(document)
    assert (fact.path, fact.size_bytes) == ("run-artifact.json", len(document.data))
    assert "sha256:" + fact.sha256 == digest_bytes(document.data)


@pytest.mark.parametrize("kind", ["RunArtifact", "RunSeal", "ValidationArtifact", "TimeoutArtifact"])
def test_our_file_names_are_reserved(kind: str) -> None:
    assert file_name(kind) in RESERVED_NAMES
    assert "report.json" not in RESERVED_NAMES


def test_what_is_not_a_kind_has_no_file() -> None:
    with pytest.raises(Refused):
        file_name("../../etc/passwd")
