"""The rules of a bundle, one function each: a Case in, findings out. Their order is the order of every report."""

from collections.abc import Callable
from typing import Final

from agentplane.bundles.case import Case, Findings
from agentplane.bundles.rules import authority, extensions, fields, files, identity, machine, mounts, secrets, trust
from agentplane.bundles.rules import policy as policy_rules

Rule = Callable[[Case], Findings]

# identity first: a document that is no bundle is not judged further
IDENTITY: Final[tuple[tuple[str, Rule], ...]] = (
    ("api-version", identity.api_version),
    ("kind", identity.kind),
)
RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("name", identity.name),
    ("version", identity.version),
    ("created-at", identity.created_at),
    ("license", identity.license_policy),
    ("lane", policy_rules.lane),
    ("max-run-seconds", policy_rules.max_run_seconds),
    ("fail-on-timeout", policy_rules.fail_on_timeout),
    ("policy-pack", policy_rules.policy_pack),
    ("human-gate", policy_rules.human_gate),
    ("self-exception", authority.self_exception),
    ("global-deployment", authority.global_deployment),
    ("abstract-reasoning", extensions.abstract_reasoning),
    ("backend", machine.backend),
    ("resources", machine.resources),
    ("network", machine.network),
    ("mounts", mounts.mounts),
    ("executor", machine.executor),
    ("module", files.module),
    ("smoke", files.smoke),
    ("files", files.tree),
    ("out-dir", files.out_dir),
    ("secrets", secrets.references),
    ("inline-secrets", secrets.inline),
    ("trust", trust.trust),
    ("image-production", extensions.image_production),
    ("chronos-carrier", extensions.chronos_carrier),
)
# what these say of a place counts only where no rule above has failed it
GENERAL: Final[tuple[tuple[str, Rule], ...]] = (
    ("numbers", fields.numbers),
    ("unknown-fields", fields.unknown),
    ("schema", fields.schema),
)
