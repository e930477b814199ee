"""ReplayArtifact, PostconditionArtifact and DivergenceArtifact: how to run it again, and what came of that. Pure."""

from typing import Any, Final

import msgspec

from agentplane.artifacts.document import Document, RunFacts, file_name
from agentplane.artifacts.run import copied_context
from agentplane.canonical import digest_value
from agentplane.replays.compare import Comparison, Divergence, Result, examine
from agentplane.runs.model import ArtifactFact, Expected, GuestPin, RunFinished
from agentplane.runs.states import Outcome

_SEVERITY: Final = {
    Divergence.EXECUTION_FAILURE: "CRITICAL",
    Divergence.STATE_MISMATCH: "HIGH",
    Divergence.SIDE_EFFECT_MISMATCH: "MODERATE",
}


def replay_artifact(facts: RunFacts, *, guest: GuestPin | None, artifact_dir: str, captured_at: str) -> Document:
    """The ReplayArtifact: every pin that is needed to run this again. `artifact_dir` is absolute."""
    pins = facts.pins
    policy = facts.bundle.get("spec", {}).get("policy", {})
    inputs = {
        "bundlePath": facts.bundle_path,
        "bundleRev": _revision(facts.bundle),
        "artifactDir": artifact_dir,
        "policyPackRef": policy.get("policyPackRef"),
        "policyPackHash": policy.get("policyPackHash"),
        "secretsRequired": list(pins.secrets),
        **copied_context(facts),
    }
    return Document(
        artifact={
            "kind": "ReplayArtifact",
            "bundle": pins.bundle,
            "capturedAt": captured_at,
            "executor": facts.executor,
            "backendIntent": pins.backend_intent,
            "inputs": inputs,
            "pins": msgspec.to_builtins(pins),
            "guest": msgspec.to_builtins(guest),
        }
    )


def postcondition_artifact(facts: RunFacts, expected: Expected, finished: RunFinished, *, captured_at: str) -> Document:
    """The PostconditionArtifact of a replay: what matched and what did not, condition by condition."""
    comparison = examine(expected, finished)
    return Document(
        artifact={
            "kind": "PostconditionArtifact",
            **_references(facts, captured_at),
            "expectedStateHash": state_hash(expected.outcome, expected.exit_code, expected.artifacts),
            "observedStateHash": state_hash(finished.outcome, finished.exit_code, finished.artifacts),
            "comparisonResult": comparison.result.value,
            "verificationMode": "PROGRAM_EXECUTION",
            "matchedConditions": list(comparison.matched),
            "failedConditions": list(comparison.failed),
            "evidenceRefs": [artifact_ref(facts.tenant, expected.run)],
        }
    )


def divergence_artifact(
    facts: RunFacts, expected: Expected, finished: RunFinished, *, captured_at: str
) -> Document | None:
    """The DivergenceArtifact of a replay that differs from its original; None when it matches."""
    comparison = examine(expected, finished)
    if comparison.divergence is None:
        return None
    return Document(
        artifact={
            "kind": "DivergenceArtifact",
            **_references(facts, captured_at),
            "divergenceClass": comparison.divergence.value,
            "severity": _SEVERITY[comparison.divergence],
            "expectedRef": artifact_ref(facts.tenant, expected.run),
            "observedRef": artifact_ref(facts.tenant, facts.run),
            "policyImpact": None,
            "incidentRef": None,
            "replanRequired": _needs_new_plan(comparison),
            "evidenceRefs": list(comparison.failed),
        }
    )


def state_hash(outcome: Outcome, exit_code: int, artifacts: tuple[ArtifactFact, ...]) -> str:
    """Digest of everything that a replay has to reproduce: RFC 8785 of outcome, exit code and files by path."""
    files = sorted(artifacts, key=lambda fact: fact.path)
    return digest_value({"outcome": outcome.value, "exitCode": exit_code, "files": msgspec.to_builtins(files)})


def artifact_ref(tenant: str, run: str) -> str:
    """Names the RunArtifact of a run, across runs."""
    return f"agentplane:{tenant}/{run}/{file_name('RunArtifact')}"


def _references(facts: RunFacts, captured_at: str) -> dict[str, str]:
    return {
        "bundle": facts.pins.bundle,
        "capturedAt": captured_at,
        "runArtifactRef": artifact_ref(facts.tenant, facts.run),
        "planCommitRef": facts.pins.bundle_digest,
    }


def _needs_new_plan(comparison: Comparison) -> bool:
    # A replay that could not be carried out says nothing about the plan: it has to be tried again first.
    return comparison.result is not Result.UNKNOWN


def _revision(bundle: dict[str, Any]) -> str | None:
    node: Any = bundle.get("metadata", {})
    for name in ("source", "git", "rev"):
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None
