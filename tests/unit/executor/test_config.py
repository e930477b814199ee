import json
from pathlib import Path
from typing import Any

import pytest

from agentplane.daemon.config import check_settings
from agentplane.errors import Refused
from agentplane.runs.model import Resources
from agentplane.runs.protocol import Acceleration
from services.executor import facts
from services.executor.__main__ import main
from services.executor.config import ExecutorSettings
from services.executor.facts import Probed, executor_facts, total_resources

MINIMAL: dict[str, Any] = {
    "name": "exec-1",
    "state_dir": "/var/lib/agentplane-executor",
    "nats": {"servers": ["nats://127.0.0.1:4222"]},
    "signing_key_file": "/etc/agentplane/executor.key",
    "control_public_key_file": "/etc/agentplane/control.pub",
    "vm_kit": "/usr/share/agentplane/vm",
}


def settings(**changes: Any) -> ExecutorSettings:
    return check_settings({**MINIMAL, **changes}, ExecutorSettings, origin="test")


def test_a_minimal_configuration_needs_none_of_the_files_that_it_names() -> None:
    assert settings().backends == ("microvm", "process")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Not A Label"}, "name"),
        ({"state_dir": "relative"}, "state_dir"),
        ({"backends": []}, "backends"),
        ({"backends": ["docker"]}, "backends"),
        ({"limits": {"slots": 0}}, "limits.slots"),
        ({"limits": {"memory_gib": 4}}, "limits.memory_gib"),
        ({"caps": {"artifact_bytes": -1}}, "caps.artifact_bytes"),
        ({"qemu_uids": {"first": 0}}, "qemu_uids.first"),
        ({"surprise": 1}, "surprise"),
        ({"nats": {"servers": []}}, "nats.servers"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        settings(**changes)
    assert caught.value.code == "config.invalid"
    assert field in str(caught.value)


def test_check_config_answers_without_starting_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "executor.json"
    monkeypatch.setattr("sys.argv", ["agentplane-executor", "--config", str(path), "--check-config"])
    path.write_text(json.dumps(MINIMAL))
    assert main() == 0
    path.write_text(json.dumps({**MINIMAL, "slots": 3}))
    assert main() == 2
    assert "slots" in capsys.readouterr().err


def test_limits_cut_what_the_host_has_and_never_add_to_it() -> None:
    some = total_resources(settings(limits={"vcpus": 1, "memory_mib": 64, "disk_mib": 10}), free_mib=5000)
    assert some == Resources(vcpus=1, memory_mib=64, disk_mib=10)
    everything = total_resources(settings(limits={"vcpus": 4096, "memory_mib": 1 << 24}), free_mib=5000)
    assert everything.memory_mib == facts.memory_mib()
    assert everything.vcpus < 4096


@pytest.mark.parametrize("free_mib", [0, 255, 256])
def test_the_reserve_is_not_given_away(free_mib: int) -> None:
    assert total_resources(settings(), free_mib).disk_mib == 0


def test_a_heartbeat_says_what_was_probed_and_not_what_was_configured() -> None:
    probed = Probed(backends=("process",), kvm=Acceleration(usable=False, cause="hang: …"), versions={"nix": "2.8"})
    said = executor_facts(settings(), probed, total_resources(settings(), 5000), draining=True)
    assert (said.backends, said.kvm.cause, said.draining, said.secrets) == (("process",), "hang: …", True, ())
    assert said.networks == ("none",)
