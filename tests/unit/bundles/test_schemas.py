"""The schemas themselves: well-formed for two judges, found by kind, silent about values."""

import jsonschema
import pytest

from agentplane import schemas
from agentplane.errors import NotFound


@pytest.mark.parametrize("name", schemas.names())
def test_a_schema_is_well_formed_and_compiles(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.document(name))
    schemas.validator(name)


def test_ours_have_an_id_by_which_they_are_published() -> None:
    for name in ("placement-receipt.v0.1", "timeout-artifact.v0.1", "run-seal.v0.1", "guest.v1", "process.v1"):
        assert schemas.document(name)["$id"].startswith("https://agentplane.socioprophet.org/schemas/")


@pytest.mark.parametrize(
    ("kind", "name"), [("RunArtifact", "run-artifact.v0.1"), ("PlacementReceipt", "placement-receipt.v0.1")]
)
def test_an_artifact_kind_leads_to_its_schema(kind: str, name: str) -> None:
    assert schemas.for_kind(kind) == name


def test_an_unknown_schema_is_not_found() -> None:
    for call in (lambda: schemas.for_kind("NoArtifact"), lambda: schemas.check("../x", {})):
        with pytest.raises(NotFound):
            call()


def test_no_error_repeats_a_value() -> None:
    value = {
        "apiVersion": "s3cret",
        "metadata": {"name": "S3CRET!"},
        "spec": {"vm": "s3cret", "policy": {"lane": "s3cret"}},
    }
    errors = schemas.check("bundle.v0.2", value)
    assert len(errors) >= 5
    assert "s3cret" not in str(errors).lower()


def test_errors_name_the_missing_member_itself() -> None:
    errors = {error.path: error.message for error in schemas.check("bundle.v0.2", {"spec": {}})}
    assert errors["/spec/trust"] == "is required but missing"


def test_a_run_in_lane_dev_is_sayable_in_v0_2_only() -> None:
    artifact = {
        "kind": "RunArtifact",
        "bundle": "a@1",
        "capturedAt": "2026-01-31T12:00:00Z",
        "lane": "dev",
        "executor": "exec-1",
        "backendIntent": "microvm",
        "status": "success",
        "exitCode": 0,
    }
    assert schemas.check("run-artifact.v0.2", artifact) == ()
    assert [error.path for error in schemas.check("run-artifact.v0.1", artifact)] == ["/lane"]


def test_times_are_times() -> None:
    artifact = {
        "kind": "TimeoutArtifact",
        "bundle": "a@1",
        "backend": "microvm",
        "executor": "exec-1",
        "maxRunSeconds": 5,
        "capturedAt": "yesterday",
    }
    assert [error.keyword for error in schemas.check("timeout-artifact.v0.1", artifact)] == ["format"]
