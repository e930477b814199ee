"""The control daemon's configuration."""

from typing import Any

import pytest

from agentplane.daemon.config import check_settings
from agentplane.errors import Refused
from services.control.config import ControlSettings

GOOD: dict[str, Any] = {
    "nats": {"servers": ["nats://127.0.0.1:4222"]},
    "postgres": {"conninfo": "host=/run/postgresql dbname=agentplane user=agentplane_append"},
    "signing_key_file": "/etc/agentplane/control.key",
    "executor_keys_dir": "/etc/agentplane/trusted",
    "inventory_file": "/etc/agentplane/inventory.json",
    "tenants": ["acme"],
}


def test_a_minimal_configuration_has_defaults() -> None:
    settings = check_settings(GOOD, ControlSettings, origin="test")
    assert (settings.heartbeat_seconds, settings.lease_seconds) == (5, 30)
    assert settings.policy.lanes["prod"].human_gate


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tenants": []}, "tenants"),
        ({"tenants": ["a.b"]}, "tenants"),
        ({"tenants": ["system"]}, "tenants"),
        ({"signing_key_file": "control.key"}, "signing_key_file"),
        ({"lease_seconds": 10}, "lease_seconds"),
        ({"lease_sceonds": 30}, "lease_sceonds"),
        ({"policy": {"lanes": {"staging": {"networks": ["wild"]}}}}, "policy.lanes.staging.networks.0"),
        ({"policy": {"limits": {"vcpus": 0}}}, "policy.limits.vcpus"),
        ({"concurrency": 0}, "concurrency"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused) as refused:
        check_settings(GOOD | change, ControlSettings, origin="test")
    assert named in str(refused.value)
