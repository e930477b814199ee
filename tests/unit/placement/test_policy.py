"""The policy: its defaults, its digest, and what it refuses to be."""

import pytest

from agentplane.policy import Policy, read_policy


def read(settings: object) -> Policy:
    policy = read_policy(settings)
    assert isinstance(policy, Policy)
    return policy


def wrong(settings: object) -> list[str]:
    problems = read_policy(settings)
    assert isinstance(problems, list)
    return [str(each) for each in problems]


def test_the_defaults_keep_bare_processes_in_dev_and_prod_behind_a_gate() -> None:
    policy = Policy()
    assert policy.backends("lima-process", "dev") == ("process",)
    assert policy.backends("lima-process", "staging") == ()
    assert policy.backends("fleet", "prod") == ("microvm", "qemu")
    assert policy.needs_gate("prod", bundle_asks=False)
    assert not policy.needs_gate("staging", bundle_asks=False)
    assert policy.needs_gate("staging", bundle_asks=True)


def test_an_unknown_lane_needs_a_gate_and_runs_nothing() -> None:
    assert Policy().needs_gate("canary", bundle_asks=False)
    assert Policy().backends("microvm", "canary") == ()


def test_settings_are_read_in_either_spelling_and_missing_ones_have_defaults() -> None:
    policy = read({"lanes": {"staging": {"backends": ["process"], "humanGate": True}}, "stale_after_s": 5})
    assert policy.lane("staging") is not None
    assert policy.lane("prod") is None
    assert policy.stale_after_s == 5
    assert policy.needs_gate("staging", bundle_asks=False)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"lanes": {"canary": {}}}, "lanes.canary"),
        ({"lanes": {"dev": {"backends": ["docker"]}}}, "lanes.dev.backends.0"),
        ({"limits": {"vcpus": 0}}, "limits.vcpus"),
        ({"limits": {"memory_mib": "100"}}, "limits.memory_mib"),
        ({"staleAfterS": 5, "stale_after_s": 6}, "stale_after_s"),
        ({"exceptions": True}, "exceptions"),
        ([], "the policy"),
    ],
)
def test_a_wrong_setting_is_named(settings: object, field: str) -> None:
    assert any(each.startswith(field) for each in wrong(settings))


def test_all_wrong_settings_are_named_and_no_value_is_repeated() -> None:
    problems = wrong({"lanes": {"dev": {"networks": ["hunter2"]}}, "limits": {"vcpus": 0, "diskGib": None}})
    assert len(problems) == 3
    assert "hunter2" not in "".join(problems)


def test_the_digest_is_of_the_camel_case_document() -> None:
    # runs pin it: another way to hold the policy in memory must not change it
    assert Policy().digest() == "sha256:ba3df9ff2ca562cca6be57622a712d4536174c562e457d6895c829bd13200838"


def test_the_digest_changes_with_the_policy_only() -> None:
    assert Policy().digest() == read({}).digest()
    assert Policy().digest() != read({"staleAfterS": 31}).digest()


def test_tenants_are_all_or_those_listed() -> None:
    assert Policy().admits("anybody")
    assert not Policy(tenants=("acme",)).admits("anybody")
