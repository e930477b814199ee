"""The seeds' optional v0.1 blocks: who declares one, declares all that it needs. Pure."""

from typing import Any, Final

from agentplane.bundles.case import Case, Findings, Path, fail, quote

_SOURCEOS: Final = (
    *("artifactTruthRef", "flavorRef", "installerProfileRef", "channelRef", "manifestRef", "sourceosSpecRef"),
)
_AUTOMATION: Final = (
    *("substrateDocRef", "katelloContentModelRef", "tektonPipelineRef"),
    *("katelloProduct", "katelloRepository", "katelloLifecycleEnvironment"),
)
_CARRIER: Final = ("sourceEvidenceRef", "methodFamily", "claimStatus", "validationStatus", "owningPlane", "replayRef")
_CLASSES: Final = ("REACTIVE", "RETRIEVAL", "ABSTRACT", "CAUSAL", "PROGRAM_INDUCTION")
_MODES: Final = (
    *("NONE", "POLICY_ONLY", "COUNTEREXAMPLE_SEARCH", "PROGRAM_EXECUTION", "CAUSAL_CHECK", "HUMAN_REVIEW"),
    "COMPOSITE",
)


def image_production(case: Case) -> Findings:
    """With `sourceos`, `sociosAutomation` or `outputs`, every reference of a governed image build is there."""
    spec = case.block("spec") or {}
    if case.is_v0_2 or not {"sourceos", "sociosAutomation", "outputs"} & spec.keys():
        return
    for block, keys in (("sourceos", _SOURCEOS), ("sociosAutomation", _AUTOMATION)):
        for key in keys:
            if not _said(case.get("spec", block, key)):
                message = f"{block}.{key} is needed for image production"
                hint = "Add the reference, or remove the blocks sourceos, sociosAutomation and outputs."
                yield fail("image-production", ("spec", block, key), message, hint)


def chronos_carrier(case: Case) -> Findings:
    """A carrier is complete, disclaims authority, and belongs to another plane."""
    path: Path = ("spec", "chronosCarrier")
    if case.is_v0_2 or case.block(*path) is None:
        return
    for key in _CARRIER:
        if not _said(case.get(*path, key)):
            yield fail(
                "chronos-carrier", (*path, key), f"chronosCarrier.{key} is missing", "A carrier has all its fields."
            )
    if case.get(*path, "nonAuthorityDeclaration") is not True:
        message = "agentplane carries this, and has no authority over it"
        hint = "Set nonAuthorityDeclaration to true."
        yield fail("chronos-carrier", (*path, "nonAuthorityDeclaration"), message, hint)
    if (case.text(*path, "owningPlane") or "").strip().lower() == "agentplane":
        message = "the owning plane is another than agentplane"
        yield fail("chronos-carrier", (*path, "owningPlane"), message, "Name the plane that owns it.")


def abstract_reasoning(case: Case) -> Findings:
    """`policy.abstractReasoning` names known classes and brings what it requires."""
    path: Path = ("spec", "policy", "abstractReasoning")
    block = case.block(*path)
    if case.is_v0_2 or not block:
        return
    for key, known, default in (("reasoningClass", _CLASSES, "REACTIVE"), ("verificationMode", _MODES, "NONE")):
        if block.get(key, default) not in known:
            message = f"{key} {quote(block.get(key))} does not exist"
            yield fail("abstract-reasoning", (*path, key), message, f"Use one of {', '.join(known)}.")
    for flag, key in _REQUIRES:
        if block.get(flag) and not block.get(key):
            yield fail("abstract-reasoning", (*path, key), f"{flag} needs {key}", f"Add {key}, or remove {flag}.")
    yield from _unverified(block, path)


_REQUIRES: Final = (
    ("requiresProgramCandidate", "programCandidateRef"),
    ("requiresCounterexampleSearch", "counterexampleRefs"),
    ("requiresBacktrackingCapability", "backtrackingCapable"),
)


def _unverified(block: dict[str, Any], path: Path) -> Findings:
    strict = block.get("reasoningClass") in {"ABSTRACT", "PROGRAM_INDUCTION"} and block.get("llmOnlyForbidden")
    if strict and block.get("verificationMode", "NONE") == "NONE":
        message = "llmOnlyForbidden needs another verification than NONE"
        yield fail("abstract-reasoning", (*path, "verificationMode"), message, "Choose a verificationMode.")


def _said(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return bool(value.strip()) if isinstance(value, str) else bool(value) and isinstance(value, list)
