"""The bundle's `spec.policy`, measured by the control plane's policy. Pure."""

import re
from typing import Final

from agentplane.bundles.case import MISSING, Case, Findings, fail, quote, warn
from agentplane.bundles.model import V0_2

LANES_V0_1: Final = ("staging", "prod")
LANES_V0_2: Final = ("dev", "staging", "prod")
MIN_RUN_SECONDS: Final = 5
MAX_RUN_SECONDS: Final = 3600
_HASH: Final = re.compile(r"sha256:[a-f0-9]{64}")


def lane(case: Case) -> Findings:
    """The lane is named, known to this apiVersion, and open."""
    if case.block("spec", "policy") is None:
        return
    path, found = ("spec", "policy", "lane"), case.get("spec", "policy", "lane")
    known = LANES_V0_2 if case.is_v0_2 else LANES_V0_1
    if found is MISSING:
        yield fail("lane.missing", path, "the bundle names no lane", f"Set one of {', '.join(known)}.")
    elif found == "dev" and not case.is_v0_2:
        yield fail("lane.unknown", path, "lane 'dev' does not exist in v0.1", f"Use apiVersion {V0_2}, or staging.")
    elif found not in known:
        yield fail("lane.unknown", path, f"lane {quote(found)} does not exist", f"Use one of {', '.join(known)}.")
    elif case.policy.lane(found) is None:
        hint = f"Ask for the policy to open it (policy.lanes.{found}), or use another lane."
        yield fail("lane.forbidden", path, f"lane {found} is closed by policy", hint)


def max_run_seconds(case: Case) -> Findings:
    """The wall clock limit is there and is an integer from 5 to 3600; 20.0 and true are not integers."""
    if case.block("spec", "policy") is None:
        return
    path = ("spec", "policy", "maxRunSeconds")
    found = case.get(*path)
    hint = f"Set an integer from {MIN_RUN_SECONDS} to {MAX_RUN_SECONDS}."
    if found is MISSING:
        yield fail("max-run-seconds.missing", path, "maxRunSeconds is missing: every run has an end", hint)
    elif type(found) is not int:
        yield fail("max-run-seconds.type", path, f"maxRunSeconds is {quote(found)}, not an integer", hint)
    elif not MIN_RUN_SECONDS <= found <= MAX_RUN_SECONDS:
        yield fail("max-run-seconds.range", path, f"maxRunSeconds is {found}", hint)


def fail_on_timeout(case: Case) -> Findings:
    """Whether a timeout fails the run should be said."""
    if case.block("spec", "policy") is not None and case.get("spec", "policy", "failOnTimeout") is MISSING:
        path = ("spec", "policy", "failOnTimeout")
        yield warn("fail-on-timeout.default", path, "failOnTimeout is not set; true is assumed", "Set it.")


def policy_pack(case: Case) -> Findings:
    """A policy pack's hash is "UNSET" or a SHA-256."""
    path = ("spec", "policy", "policyPackHash")
    found = case.text(*path)
    if found is not None and found != "UNSET" and not _HASH.fullmatch(found):
        hint = 'Write "sha256:" and 64 lower-case hex digits, or "UNSET".'
        yield fail("policy-pack-hash", path, f"policyPackHash {quote(found)} is no digest", hint)


def human_gate(case: Case) -> Findings:
    """A bundle may ask for a gate; it cannot wave one away."""
    path = ("spec", "policy", "humanGateRequired")
    found, named = case.get(*path), case.text("spec", "policy", "lane")
    known = case.policy.lane(named) if named is not None else None
    if found is False and known is not None and known.human_gate:
        message = f"lane {named} has a human gate, whatever the bundle says"
        yield warn("human-gate.lane", path, message, "Set humanGateRequired to true.")
