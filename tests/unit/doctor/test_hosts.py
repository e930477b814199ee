"""A host under systemd: what its manager says becomes findings with causes and fixes."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentplane.backup.manifest import NAME
from agentplane.doctor import hosts
from agentplane.doctor.check import Check, Role, Status
from agentplane.doctor.units import credentials_in, unit

NOW = datetime.now(UTC)


class Manager:
    """Answers as `systemctl show` does."""

    def __init__(self, **units: Mapping[str, str]) -> None:
        self.units = units

    def __call__(self, name: str) -> Mapping[str, str]:
        return self.units.get(
            name.removeprefix("agentplane-").replace(".", "_").replace("-", "_"), {"LoadState": "not-found"}
        )


def running(*argv: str, **other: str) -> dict[str, str]:
    words = " ".join(argv)
    started = f"{{ path={argv[0] if argv else ''} ; argv[]={words} ; ignore_errors=no ; pid=12 }}"
    up = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "Result": "success"}
    return up | {"UnitFileState": "enabled", "ExecStart": started} | other


def checked(role: Role, **units: Mapping[str, str]) -> dict[str, Check]:
    return {check.id: check for check in hosts.host(role, now=NOW, ask=Manager(**units))}


def test_units_that_are_missing_dead_or_not_enabled_say_so() -> None:
    dead = running() | {"ActiveState": "failed", "SubState": "failed", "Result": "watchdog"}
    found = checked(Role.CONTROL, control_service=dead)
    assert found["unit.control"].status is Status.FAIL
    assert "watchdog" in found["unit.control"].cause
    assert found["unit.control"].fix == "journalctl -u agentplane-control.service -n 50"
    assert "not installed" in found["unit.projector"].cause
    assert found["bus.reachable"].status is Status.SKIP
    found = checked(Role.EXECUTOR, executor_service=running(UnitFileState="disabled", NRestarts="3"))
    assert found["unit.executor"].fix == "systemctl enable agentplane-executor.service"


def test_a_daemon_judges_its_own_configuration(tmp_path: Path) -> None:
    program = tmp_path / "agentplane-control"
    program.write_text("#!/bin/sh\necho 'control: config.invalid: nats: required' >&2\nexit 2\n")
    program.chmod(0o755)
    config = tmp_path / "control.json"
    config.write_text("{}")
    found = checked(Role.CONTROL, control_service=running(str(program), "--config", str(config)))
    assert found["config.control"].status is Status.FAIL
    assert found["config.control"].cause == "control: config.invalid: nats: required"
    assert found["config.control"].fix == f"{program} --config {config} --check-config"


def test_credentials_are_there_closed_and_outside_of_the_store(tmp_path: Path) -> None:
    loose, missing = tmp_path / "loose.key", tmp_path / "missing.key"
    loose.touch(mode=0o644)
    loose.chmod(0o644)
    closed = tmp_path / "closed.key"
    closed.touch(mode=0o600)
    given = f"a:{loose} b:{missing} c:/nix/store/x/key d:{closed} e:from-the-manager"
    found = checked(Role.CONTROL, control_service=running("true", "--config", "/x.json", LoadCredential=given))
    status = {name: found[f"credential.control.{name}"].status for name in "abcde"}
    assert status == {"a": Status.FAIL, "b": Status.FAIL, "c": Status.FAIL, "d": Status.PASS, "e": Status.SKIP}
    assert found["credential.control.a"].fix == f"chmod 600 {loose}"
    assert "Nix store" in found["credential.control.c"].cause


@pytest.mark.parametrize(
    ("age", "status", "words"),
    [
        (None, Status.WARN, "no backup was ever taken"),
        (timedelta(days=3), Status.WARN, "the newest is of"),
        (timedelta(hours=3), Status.PASS, "the newest is of"),
    ],
)
def test_a_host_that_is_not_backed_up_is_warned_about(
    tmp_path: Path, age: timedelta | None, status: Status, words: str
) -> None:
    series = tmp_path / "series"
    if age is not None:
        backup = series / (NOW - age).strftime("%Y-%m-%dT%H%M%SZ")
        backup.mkdir(parents=True)
        (backup / NAME).touch()
        os.utime(backup, ((NOW - age).timestamp(),) * 2)
    config = tmp_path / "backup.json"
    part = '{"name": "a", "state_dir": "/var/lib/a"}'
    config.write_text(f'{{"directory": "{series}", "trusted_keys_dir": "/etc/t", "executor": {part}}}')
    service = running("agentplane", "backup", "--config", str(config))
    found = checked(Role.EXECUTOR, backup_executor_timer=running(), backup_executor_service=service)
    assert found["backup.recent"].status is status
    assert words in found["backup.recent"].cause
    assert checked(Role.EXECUTOR)["backup.timer"].fix == "systemctl enable --now agentplane-backup-executor.timer"


def test_a_unit_that_is_not_there_is_not_loaded() -> None:
    assert not unit("agentplane-nothing.service", Manager()).loaded


def test_credentials_are_those_of_the_units_files_the_last_word_counts() -> None:
    first = ["# /etc/systemd/system/x.service", "[Service]", "LoadCredential=a:/keys/a", "LoadCredential=b:/keys/b"]
    assert credentials_in(first) == "a:/keys/a b:/keys/b"
    assert credentials_in([*first, "# /etc/x.service.d/own.conf", "LoadCredential=", "LoadCredential=c:/c"]) == "c:/c"
