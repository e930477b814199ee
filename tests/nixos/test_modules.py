"""The NixOS modules: what the sample fleet becomes, and what is said to every mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentplane.backup.settings import BackupSettings
from agentplane.bus.tls import Tls
from agentplane.cli.context import load_context
from agentplane.daemon.config import Settings, check_settings
from services.control.config import ControlSettings
from services.executor.config import ExecutorSettings
from services.projector.config import ProjectorSettings
from tests.nats_server import binary
from tests.nixos.conftest import ROOT, Evaluate, Refused

MODELS: dict[str, type[Settings]] = {
    "control": ControlSettings,
    "projector": ProjectorSettings,
    "executor": ExecutorSettings,
}
EXECUTOR = """
  services.agentplane = {
    servers = [ "tls://control.example:4222" ];
    trust = ./fleet/trust;
    caches = [ "http://control.example:8090" ];
    executor.enable = true;
  };
"""


def executor(changes: str = "") -> str:
    """A host with an executor; `changes` to services.agentplane are laid over it."""
    parts = f"{{ {EXECUTOR} }} {{ services.agentplane = {{ {changes} }}; }}"
    return f'{{ lib, ... }}: {{ networking.hostName = "exec-a"; imports = [ {parts} ]; }}'


def control(changes: str = "") -> str:
    """The sample control host; `changes` to services.agentplane are laid over it."""
    return (
        f"{{ lib, ... }}: {{ imports = [ ./fleet/hosts/control.nix {{ services.agentplane = {{ {changes} }}; }} ]; }}"
    )


@pytest.mark.parametrize(
    ("host", "daemons"),
    [("control", ("control", "projector")), ("exec-a", ("executor",)), ("exec-arm", ("executor",))],
)
def test_the_sample_fleet_is_accepted_by_modules_and_daemons(
    evaluate: Evaluate, host: str, daemons: tuple[str, ...]
) -> None:
    answer = evaluate(f"./fleet/hosts/{host}.nix")
    assert answer["refused"] == []
    for daemon in daemons:
        check_settings(answer["settings"][daemon], MODELS[daemon], origin=host)


def test_an_executor_takes_six_lines(evaluate: Evaluate) -> None:
    assert len(EXECUTOR.strip().splitlines()) <= 6
    answer = evaluate(f'{{ networking.hostName = "exec-a"; {EXECUTOR} }}')
    assert answer["refused"] == []
    settings = check_settings(answer["settings"]["executor"], ExecutorSettings, origin="six lines")
    assert settings.name == "exec-a"


def test_credentials_replace_those_of_the_unit_file_and_carry_the_names_that_settings_use(evaluate: Evaluate) -> None:
    answer = evaluate("./fleet/hosts/control.nix")
    given = answer["credentials"]["agentplane-control"]
    assert given[0] == ""
    names = {entry.split(":")[0] for entry in given[1:]}
    unit = Path(ROOT / "services/units/agentplane-control.service").read_text()
    assert names - {"issuer.nkey", "watcher.nkey"} == {
        line.removeprefix("LoadCredential=").split(":")[0]
        for line in unit.splitlines()
        if line.startswith("LoadCredential=")
    }
    settings = answer["settings"]["control"]
    used = (settings["signing_key_file"], settings["nats"]["nkey_seed_file"], settings["postgres"]["passfile"])
    used += tuple(settings["joining"].values())
    assert {Path(path).name for path in used} == names


def test_one_setting_leaves_the_defaults_beside_it(evaluate: Evaluate) -> None:
    answer = evaluate(executor('executor.settings.nats.servers = [ "tls://other.example:4222" ];'))
    assert answer["settings"]["executor"]["nats"] == {
        "servers": ["tls://other.example:4222"],
        "tls": {"ca_file": "/etc/agentplane/trusted/ca.pem"},
    }


def test_an_executor_makes_its_own_keys_unless_it_is_given_some(evaluate: Evaluate) -> None:
    answer = evaluate(executor())
    settings = check_settings(answer["settings"]["executor"], ExecutorSettings, origin="own")
    assert settings.own_signing_key
    assert settings.own_nkey
    assert answer["credentials"]["agentplane-executor"] == [""]
    assert not any("%d" in command for command in answer["services"]["agentplane-executor"]["ExecStartPre"])
    names = ("join.token", "executor.key", "nats.nkey")
    given = "".join(f'executor.credentials."{name}" = "/var/keys/{name}";' for name in names)
    answer = evaluate(executor(given))
    settings = check_settings(answer["settings"]["executor"], ExecutorSettings, origin="given")
    assert not settings.own_signing_key
    assert not settings.own_nkey
    assert settings.join.token_file == Path("/run/credentials/agentplane-executor.service/join.token")
    assert "ExecStartPre" not in answer["services"]["agentplane-executor"]


def test_control_gets_copies_of_what_it_lets_executors_in_with(evaluate: Evaluate) -> None:
    copied = evaluate(control())["services"]["agentplane-control"]["ExecStartPre"]
    assert copied.endswith("-t /run/agentplane-control %d/issuer.nkey %d/watcher.nkey")
    answer = evaluate(control("control.joining.enable = false;"))
    assert "joining" not in answer["settings"]["control"]
    assert "ExecStartPre" not in answer["services"]["agentplane-control"]


def test_a_bus_that_would_not_ask_about_joining_executors_is_refused(evaluate: Evaluate) -> None:
    key = f"U{'A' * 55}"
    (message,) = evaluate(control(f'bus.users = lib.mkForce {{ control = "{key}"; }};'))["refused"]
    assert "bus.users.issuer is not set" in message
    assert "joining.enable" in message


def test_a_cache_that_nobody_signs_for_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate(executor("cacheKeys = lib.mkForce [ ];"))["refused"]
    assert "caches = [ http://control.example:8090 ]" in message
    assert "cache.pub" in message


def test_processes_may_only_start_where_they_are_offered(evaluate: Evaluate) -> None:
    socket = "agentplane-process.socket"
    assert socket in evaluate(executor())["order"]["agentplane-executor"]
    machines = evaluate(executor('executor.settings.backends = [ "microvm" ];'))
    assert socket not in machines["order"]["agentplane-executor"]


@pytest.mark.parametrize(
    ("changes", "value", "remedy"),
    [
        (
            'executor.credentials."executor.key" = "${./fleet/trust/control.pub}";',
            'executor.credentials."executor.key" = /nix/store/',
            "/var/keys/executor.key",
        ),
        (
            'executor.credentials."executor.key" = ./fleet/trust/control.pub;',
            f'executor.credentials."executor.key" = {ROOT}/fleet/trust/control.pub: this is a Nix path',
            "/var/keys/executor.key",
        ),
        ('executor.credentials."executor.key" = "keys/executor.key";', "keys/executor.key", "absolute"),
        (
            'projector = { enable = true; credentials."nats.nkey" = "/var/keys/n"; };',
            "lacks project.pgpass read.pgpass",
            '"read.pgpass" = "/var/keys/read.pgpass";',
        ),
        ('executor.credentials."exeutor.key" = "/var/keys/x";', "has exeutor.key", "executor.key join.token nats.nkey"),
        ("servers = lib.mkForce [ ];", "servers = [ ]", "tls://control.example:4222"),
        ('executor.settings.name = "Exec A";', '"Exec A"', "DNS label"),
        ("trust = lib.mkForce null; caches = lib.mkForce [ ];", "trust is not set", "agentplane keys"),
        (
            "trust = lib.mkForce ./tests/nixos; caches = lib.mkForce [ ];",
            "tests/nixos has no control.pub",
            "agentplane keys",
        ),
        ("context.enable = true;", "lacks nkeySeedFile", '"nkeySeedFile" = "/var/keys/nkeySeedFile";'),
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
    for word in ("control.key", "nats.nkey", "append.pgpass", "inventory", "trust", "servers"):
        assert any(word in message for message in messages), (word, messages)


def test_a_directory_of_secrets_in_the_store_is_refused_for_every_file(evaluate: Evaluate) -> None:
    messages = evaluate(control("credentialsDirectory = lib.mkForce ./fleet/trust;"))["refused"]
    for name in ("control.key", "control.nkey", "projector.nkey", "owner.pgpass", "bus.key", "issuer.nkey"):
        assert any(f"{ROOT}/fleet/trust/{name}" in message for message in messages), name
    assert all("Write a string" in message for message in messages)


def test_a_private_key_among_public_ones_is_refused(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "executors").mkdir()
    for name, text in (
        ("control.pub", ""),
        ("control.key", ""),
        ("executors/a.nkey", "SUA"),
        ("executors/b.nkey", "UA"),
    ):
        (tmp_path / name).write_text(text)
    (message,) = evaluate(executor(f"trust = lib.mkForce {tmp_path}; caches = lib.mkForce [ ];"))["refused"]
    assert f"{tmp_path} holds control.key executors/a.nkey:" in message
    assert "/var/keys" in message


def test_a_database_without_passwords_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate("{ services.agentplane.database.enable = true; }")["refused"]
    assert "owner.pgpass append.pgpass project.pgpass read.pgpass" in message


def test_a_bus_that_lets_everybody_in_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate("{ services.agentplane.bus.enable = true; }")["refused"]
    assert "bus.users is empty" in message
    assert "./users.json" in message


def test_a_bus_in_the_clear_off_this_host_is_refused(evaluate: Evaluate) -> None:
    (message,) = evaluate(control("bus.tls.enable = false;"))["refused"]
    assert 'listen = "0.0.0.0"' in message
    assert "tunnel" in message


def test_a_bus_off_this_host_needs_a_certificate(evaluate: Evaluate) -> None:
    messages = evaluate(control("credentialsDirectory = lib.mkForce null;"))["refused"]
    assert any("bus.credentials lacks bus.pem bus.key" in message for message in messages)
    assert any('"nats.nkey" = "/var/keys/projector.nkey";' in message for message in messages)


def test_nothing_is_opened_unless_asked_for(evaluate: Evaluate) -> None:
    assert evaluate(control())["openPorts"] == [8090, 4222]
    assert evaluate(control("bus.openFirewall = lib.mkForce false;"))["openPorts"] == [8090]
    assert evaluate(executor())["openPorts"] == []


def test_only_what_is_local_is_waited_for(evaluate: Evaluate) -> None:
    local = evaluate(control())["order"]["agentplane-control"]
    assert {"postgresql.service", "nats.service"} <= set(local)
    remote = """backup.enable = lib.mkForce false; bus.enable = lib.mkForce false; database.enable = lib.mkForce false;
      servers = [ "tls://bus.example:4222" ];
      control.settings.postgres.conninfo = "host=db.example dbname=agentplane user=agentplane_append";"""
    answer = evaluate(control(remote))
    assert answer["refused"] == []
    assert answer["order"]["agentplane-control"] == []
    assert answer["settings"]["control"]["nats"]["servers"] == ["tls://bus.example:4222"]


def test_the_sample_bus_is_what_nats_server_takes(evaluate: Evaluate, tmp_path: Path) -> None:
    bus = evaluate(control())["bus"]
    assert bus["settings"]["tls"]["handshake_first"] is True
    (tmp_path / "users.json").write_text(json.dumps(bus["users"]))
    # as the module does: certificates are not there when the system is built
    del bus["settings"]["tls"]
    (tmp_path / "settings.json").write_text(json.dumps(bus["settings"]))
    argv = [sys.executable, "-m", "agentplane.bus.configure", "--users", str(tmp_path / "users.json")]
    done = subprocess.run([*argv, "--settings", str(tmp_path / "settings.json")], capture_output=True, check=True)
    (tmp_path / "nats.json").write_bytes(done.stdout)
    subprocess.run([binary(), "-t", "-c", str(tmp_path / "nats.json")], check=True, capture_output=True)
    assert len(json.loads(done.stdout)["authorization"]["users"]) == 3
    assert json.loads(done.stdout)["authorization"]["auth_callout"]["issuer"] == bus["users"]["issuer"]


def test_backups_are_of_what_only_the_host_has(evaluate: Evaluate) -> None:
    answer = evaluate(control("backup = { enable = true; settings.keep = 30; };"))
    assert answer["timers"] == ["agentplane-backup-control"]
    settings = check_settings(answer["backups"]["control"], BackupSettings, origin="backup")
    assert (settings.keep, settings.executor) == (30, None)
    answer = evaluate(executor("backup.enable = true;"))
    assert answer["timers"] == ["agentplane-backup-executor"]
    settings = check_settings(answer["backups"]["executor"], BackupSettings, origin="backup")
    assert settings.executor is not None
    assert settings.executor.name == "exec-a"
    (message,) = evaluate("{ services.agentplane.backup.enable = true; }")["refused"]
    assert "nothing to back up" in message


def test_guests_are_prefetched_where_some_are_named(evaluate: Evaluate) -> None:
    path = f"/nix/store/{'0' * 32}-guest"
    named = f"""executor.settings.bundles = {{
      caches = [ "https://cache.example" ];
      trusted_public_keys = [ "cache.example-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=" ];
      prefetch = [ {{ path = "{path}"; nar_hash = "sha256:{"0" * 52}"; }} ]; }};"""
    answer = evaluate(executor(named))
    assert answer["timers"] == ["agentplane-prefetch"]
    check_settings(answer["settings"]["executor"], ExecutorSettings, origin="prefetch")
    assert evaluate(executor())["timers"] == []


def test_the_command_line_s_context_is_one_that_it_reads(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "context.json").write_text(json.dumps(evaluate(control())["settings"]["context"]))
    context = load_context(tmp_path)
    assert context.servers == ("tls://127.0.0.1:4222",)
    assert context.tls == Tls(ca_file="/etc/agentplane/trusted/ca.pem")
    assert (context.nkey_seed_file, context.trusted_keys_dir) == (
        "/var/keys/operator.nkey",
        "/var/lib/agentplane/trusted",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ('executor.enable = lib.mkForce "yes";', "services.agentplane.executor.enable"),
        ("executor.credentials = lib.mkForce [ ];", "services.agentplane.executor.credentials"),
        ('servers = lib.mkForce "nats://one";', "services.agentplane.servers"),
        ("credentialsDirectory = lib.mkForce 3;", "services.agentplane.credentialsDirectory"),
        ("executor.enabled = true;", "services.agentplane.executor.enabled"),
        ("bus.users.contrl = null;", "services.agentplane.bus.users.contrl"),
    ],
)
def test_a_wrong_type_or_an_unknown_option_names_the_option(evaluate: Evaluate, changes: str, said: str) -> None:
    with pytest.raises(Refused, match=said.replace(".", r"\.")):
        evaluate(executor(changes))


def test_an_unknown_setting_is_named_by_the_daemon_that_checks_the_rendered_file(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    answer = evaluate(executor('executor.settings = { memroy = 3; limits.slots = "many"; };'))
    assert answer["refused"] == []  # it is the build that refuses: the daemon checks what was rendered
    rendered = tmp_path / "executor.json"
    rendered.write_text(json.dumps(answer["settings"]["executor"]))
    argv = [sys.executable, "-m", "services.executor", "--config", str(rendered), "--check-config"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode != 0
    assert "memroy" in done.stderr
    assert "limits.slots" in done.stderr
