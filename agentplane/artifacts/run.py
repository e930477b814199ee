"""RunArtifact and TimeoutArtifact: what ran, where, and how it ended. Pure."""

from typing import Any, Final

from agentplane.artifacts.document import Document, RunFacts
from agentplane.evidence.statement import V0_1, V0_2
from agentplane.runs.model import RunFinished

# The words of the seeds' v0.1 schema. What it cannot say (lane dev, backend agent-machine) needs our v0.2.
_V0_1_LANES: Final = frozenset({"staging", "prod"})
_V0_1_INTENTS: Final = frozenset({"qemu", "microvm", "lima-process", "fleet"})
# Passed on from the bundle as the schema describes them.
_COPIED: Final = ("governanceContext", "chronosCarrier")


def run_artifact(
    facts: RunFacts,
    finished: RunFinished,
    *,
    captured_at: str,
    stdout_ref: str | None = None,
    stderr_ref: str | None = None,
) -> Document:
    """The RunArtifact of a finished attempt. Refs are paths relative to the run's directory; times RFC 3339."""
    pins = facts.pins
    artifact = {
        "kind": "RunArtifact",
        "bundle": pins.bundle,
        "bundlePath": facts.bundle_path,
        "capturedAt": captured_at,
        "lane": pins.lane,
        "executor": facts.executor,
        "backendIntent": pins.backend_intent,
        "status": "success" if finished.succeeded else "failure",
        "exitCode": finished.exit_code,
        "outcome": finished.outcome.value,
        "stdoutRef": stdout_ref,
        "stderrRef": stderr_ref,
    }
    return Document(artifact={**artifact, **copied_context(facts)}, version=schema_version(facts))


def timeout_artifact(facts: RunFacts, *, backend: str, captured_at: str) -> Document:
    """The TimeoutArtifact of an attempt whose wall clock ran out, whether or not that counts as failure."""
    return Document(
        artifact={
            "kind": "TimeoutArtifact",
            "bundle": facts.pins.bundle,
            "backend": backend,
            "executor": facts.executor,
            "maxRunSeconds": facts.pins.max_run_seconds,
            "capturedAt": captured_at,
        }
    )


def schema_version(facts: RunFacts) -> str:
    """The oldest schema version that has words for this run."""
    spoken = facts.pins.lane in _V0_1_LANES and facts.pins.backend_intent in _V0_1_INTENTS
    return V0_1 if spoken else V0_2


def copied_context(facts: RunFacts) -> dict[str, Any]:
    """The blocks of the bundle that run and replay documents carry along when present."""
    spec = facts.bundle.get("spec", {})
    return {name: spec[name] for name in _COPIED if isinstance(spec.get(name), dict)}
