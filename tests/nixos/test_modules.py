"""The NixOS modules: what the sample fleet becomes, and what is said to every mistake."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentplane.daemon.config import Settings, check_settings
from services.control.config import ControlSettings
from services.executor.config import ExecutorSettings
from services.projector.config import ProjectorSettings
from tests.nixos.conftest import ROOT, Evaluate, Refused

MODELS: dict[str, type[Settings]] = {
    "control": ControlSettings,
    "projector": ProjectorSettings,
    "executor": ExecutorSettings,
}
EXECUTOR = """
  enable = true;
  servers = [ "nats://control.example:4222" ];
  controlPublicKey = ./fleet/hosts/keys/control.pub;
  credentials = { "executor.key" = "/var/keys/executor.key"; "nats.nkey" = "/var/keys/nats.nkey"; };
"""


def executor(changes: str = "", lines: str = EXECUTOR) -> str:
    """A host with an executor; `changes` are laid over it."""
    parts = "".join(f"{{ services.agentplane.executor = {{ {part} }}; }} " for part in (lines, changes))
    return f'{{ lib, ... }}: {{ networking.hostName = "exec-a"; imports = [ {parts} ]; }}'


@pytest.mark.parametrize(
    ("host", "daemons"), [("control", ("control", "projector")), ("exec-a", ("executor",)), ("exec-b", ("executor",))]
)
def test_the_sample_fleet_is_accepted_by_modules_and_daemons(
    evaluate: Evaluate, host: str, daemons: tuple[str, ...]
) -> None:
    answer = evaluate(f"./fleet/hosts/{host}.nix")
    assert answer["refused"] == []
    for daemon in daemons:
        check_settings(answer["settings"][daemon], MODELS[daemon], origin=host)


def test_an_executor_takes_six_lines(evaluate: Evaluate) -> None:
    assert len(EXECUTOR.strip().splitlines()) + 2 <= 6
    answer = evaluate(executor())
    assert answer["refused"] == []
    settings = check_settings(answer["settings"]["executor"], ExecutorSettings, origin="six lines")
    assert settings.name == "exec-a"


def test_the_guide_s_snippets_evaluate(evaluate: Evaluate) -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text()
    snippets = re.findall(r"^ *```nix\n(.*?)^ *```", guide, flags=re.DOTALL | re.MULTILINE)
    assert snippets
    for snippet in snippets:
        host = snippet.replace("./keys/", "./fleet/hosts/keys/")
        assert evaluate(f'{{ networking.hostName = "exec-a"; {host} }}')["refused"] == []


def test_credentials_replace_those_of_the_unit_file_and_carry_the_names_that_settings_use(evaluate: Evaluate) -> None:
    answer = evaluate("./fleet/hosts/control.nix")
    given = answer["credentials"]["agentplane-control"]
    assert given[0] == ""
    names = {entry.split(":")[0] for entry in given[1:]}
    unit = Path(ROOT / "services/units/agentplane-control.service").read_text()
    assert names == {
        line.removeprefix("LoadCredential=").split(":")[0]
        for line in unit.splitlines()
        if line.startswith("LoadCredential=")
    }
    settings = answer["settings"]["control"]
    used = (settings["signing_key_file"], settings["nats"]["nkey_seed_file"], settings["postgres"]["passfile"])
    assert {Path(path).name for path in used} == names


def test_one_setting_leaves_the_defaults_beside_it(evaluate: Evaluate) -> None:
    answer = evaluate(executor('settings.nats.servers = [ "nats://other.example:4222" ];'))
    assert answer["settings"]["executor"]["nats"] == {
        "servers": ["nats://other.example:4222"],
        "nkey_seed_file": "/run/credentials/agentplane-executor.service/nats.nkey",
    }


def test_proc_is_closed_where_nothing_needs_to_mount_it(evaluate: Evaluate) -> None:
    closed = evaluate(executor('settings.backends = [ "microvm" ];'))["services"]["agentplane-executor"]
    assert closed["ProtectKernelTunables"] is True
    assert "ProtectKernelTunables" not in evaluate(executor())["services"]["agentplane-executor"]


@pytest.mark.parametrize(
    ("changes", "value", "remedy"),
    [
        (
            'credentials."executor.key" = lib.mkForce "${./fleet/hosts/keys/exec-a.pub}";',
            '"executor.key" = "/nix/store/',
            "/var/keys/executor.key",
        ),
        ('credentials."executor.key" = lib.mkForce "keys/executor.key";', "keys/executor.key", "absolute"),
        (
            'credentials = lib.mkForce { "nats.nkey" = "/var/keys/n"; };',
            "lacks executor.key",
            '"executor.key" = "/var/keys/executor.key";',
        ),
        ('credentials."exeutor.key" = "/var/keys/executor.key";', "has exeutor.key", "executor.key nats.nkey"),
        ("servers = lib.mkForce [ ];", "servers = [ ]", "nats://control.example:4222"),
        ('settings.name = "Exec A";', '"Exec A"', "DNS label"),
        ("controlPublicKey = lib.mkForce null;", "controlPublicKey", "control.pub"),
    ],
)
def test_a_mistake_is_refused_naming_value_and_remedy(
    evaluate: Evaluate, changes: str, value: str, remedy: str
) -> None:
    (message,) = evaluate(executor(changes))["refused"]
    assert value in message
    assert remedy in message


def test_a_control_host_without_keys_and_inventory_hears_of_both(evaluate: Evaluate) -> None:
    messages = evaluate("{ services.agentplane.control.enable = true; }")["refused"]
    for word in ("control.key", "nats.nkey", "append.pgpass", "inventory", "publicKeys"):
        assert any(word in message for message in messages), (word, messages)


def test_a_database_without_passwords_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate("{ services.agentplane.database.enable = true; }")["refused"]
    assert "owner.pgpass append.pgpass project.pgpass read.pgpass" in message


def test_a_bus_that_lets_everybody_in_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate("{ services.agentplane.bus.enable = true; }")["refused"]
    assert "authorization" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('enable = lib.mkForce "yes";', "services.agentplane.executor.enable"),
        ("credentials = lib.mkForce [ ];", "services.agentplane.executor.credentials"),
        ('servers = lib.mkForce "nats://one";', "services.agentplane.executor.servers"),
        ("enabled = true;", "services.agentplane.executor.enabled"),
    ],
)
def test_a_wrong_type_or_an_unknown_option_names_the_option(evaluate: Evaluate, changes: str, said: str) -> None:
    with pytest.raises(Refused, match=said.replace(".", r"\.")):
        evaluate(executor(changes))


def test_an_unknown_setting_is_named_by_the_daemon_that_checks_the_rendered_file(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    answer = evaluate(executor('settings.memroy = 3; settings.limits.slots = "many";'))
    assert answer["refused"] == []  # it is the build that refuses: the daemon checks what was rendered
    rendered = tmp_path / "executor.json"
    rendered.write_text(json.dumps(answer["settings"]["executor"]))
    argv = [sys.executable, "-m", "services.executor", "--config", str(rendered), "--check-config"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert "memroy" in done.stderr
    assert "limits.slots" in done.stderr
