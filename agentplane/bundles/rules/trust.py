"""`spec.trust` of v0.2: what the bundle demands of the platform. What we cannot give is refused, not ignored. Pure."""

from agentplane.bundles.case import Case, Findings, fail, warn


def trust(case: Case) -> Findings:
    """Demands that contradict each other or that this control plane cannot meet fail closed."""
    if case.block("spec", "trust") is None or not case.is_v0_2:
        return
    yield from _supported(case)
    yield from _consistent(case)


def _supported(case: Case) -> Findings:
    attestation, grant = case.text("spec", "trust", "attestationMode"), case.text("spec", "trust", "grantMode")
    allowed = case.policy.attestation_modes
    if attestation in {"subject", "subject+executor"} and attestation not in allowed:
        message = f"attestation of {attestation} cannot be given here"
        yield fail("trust.attestation", ("spec", "trust", "attestationMode"), message, f"Use {' or '.join(allowed)}.")
    if grant == "runtime_required" and grant not in case.policy.grant_modes:
        message = "no grant service answers at run time here"
        hint = f"Use {' or '.join(case.policy.grant_modes)}."
        yield fail("trust.grant", ("spec", "trust", "grantMode"), message, hint)


def _consistent(case: Case) -> Findings:
    decision, ledger = case.get("spec", "trust", "policyDecisionRequired"), case.text("spec", "trust", "ledgerMode")
    grant, lane = case.text("spec", "trust", "grantMode"), case.text("spec", "policy", "lane")
    place = ("spec", "trust", "ledgerMode")
    if ledger == "off" and decision is True:
        hint = "Use ledgerMode required."
        yield fail("trust.contradiction", place, "a required policy decision cannot be shown without a ledger", hint)
    elif ledger == "off" and lane == "prod":
        yield fail("trust.contradiction", place, "prod runs leave evidence", "Use ledgerMode required.")
    elif ledger in {"off", "best_effort"}:
        yield warn("trust.ledger", place, "evidence is kept all the same", "Use ledgerMode required.")
    if grant == "runtime_required" and decision is False:
        message = "a grant at run time is a policy decision"
        path = ("spec", "trust", "policyDecisionRequired")
        yield fail("trust.contradiction", path, message, "Set policyDecisionRequired to true.")
