"""Where a bundle tries to decide for itself: seen, named, and without effect. Pure.

The seeds' gate let `policy.controlMatrix.context` override what it had derived, so a bundle could authorise itself.
"""

from typing import Any, Final

from agentplane.bundles.case import MISSING, Case, Findings, Path, fail, warn

_CLAIMS: Final = frozenset({"breakGlass", "exceptionRefs"})


def self_exception(case: Case) -> Findings:
    """Exceptions that the bundle grants itself change nothing."""
    for path in _claims(case.get("spec"), ("spec",)):
        message = f"{path[-1]} is ignored: a bundle cannot grant itself an exception from policy"
        yield warn("self-exception", path, message, "Ask for the policy to change, or for a gate to be approved.")


def _claims(value: Any, path: Path) -> list[Path]:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _claims(item, (*path, index))]
    if not isinstance(value, dict):
        return []
    found: list[Path] = []
    for key, item in value.items():
        is_context = path[-1] == "controlMatrix" and key == "context"
        if item and (key in _CLAIMS or is_context):
            found.append((*path, key))
        else:
            found += _claims(item, (*path, key))
    return found


def global_deployment(case: Case) -> Findings:
    """The seeds' control matrix denies global deployment; so do we."""
    path = ("spec", "policy", "globalDeployment")
    found = case.get(*path)
    if found is not MISSING and found is not False and found is not None:
        yield fail("global-deployment", path, "global deployment is denied", "Remove globalDeployment.")
