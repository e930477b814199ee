"""modules/lib/reverse.sh, with systemd and Nix played by scripts: when a host goes back, and when it must not."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.nixos.conftest import ROOT

Done = subprocess.CompletedProcess[str]
UNITS = ("agentplane-control.service", "nats.service")


class Host:
    """A host whose `systemctl is-active` answers as told; what it would do is written down."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.done = directory / "done"
        for name in ("old", "new"):
            (directory / name / "bin").mkdir(parents=True)
        self.becomes("old")
        for command in ("nix-env", "systemd-run"):
            self._command(command, f'echo "{command} $*" >> {self.done}')
        self.serving("exit 0")

    def _command(self, name: str, body: str) -> None:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def serving(self, body: str) -> None:
        self._command("systemctl", body)

    def becomes(self, name: str) -> None:
        current = self.directory / "current"
        current.unlink(missing_ok=True)
        current.symlink_to(self.directory / name)

    def judge(self, patience_s: int = 0) -> Done:
        environment = {
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "GOOD": str(self.directory / "good"),
            "CURRENT": str(self.directory / "current"),
            "PROFILE": "/profile",
            "SETTLE_S": "0",
            "PAUSE_S": "0.05",
        }
        argv = ["bash", str(ROOT / "modules/lib/reverse.sh"), str(patience_s), *UNITS]
        return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_release_that_serves_is_remembered(host: Host) -> None:
    assert host.judge().returncode == 0
    assert (host.directory / "good").resolve() == host.directory / "old"
    assert not host.done.exists()


def test_a_release_that_does_not_serve_is_taken_back(host: Host) -> None:
    host.judge()
    host.becomes("new")
    host.serving('[ "$3" != nats.service ]')
    assert host.judge().returncode == 0
    profile, switch = host.done.read_text().splitlines()
    assert profile == f"nix-env -p /profile --set {host.directory}/old"
    assert switch.startswith("systemd-run ")
    assert switch.endswith(f"{host.directory}/old/bin/switch-to-configuration switch")
    assert (host.directory / "good").resolve() == host.directory / "old"


def test_a_unit_that_is_up_only_now_and_then_does_not_serve(host: Host) -> None:
    host.judge()
    host.becomes("new")
    flag = host.directory / "flag"
    host.serving(f"if [ -e {flag} ]; then rm {flag}; exit 0; fi; touch {flag}; exit 3")
    assert host.judge(1).returncode == 0
    assert "systemd-run" in host.done.read_text()


def test_a_slow_start_is_waited_for(host: Host) -> None:
    calls = host.directory / "calls"
    host.serving(f"echo >> {calls}; [ $(wc -l < {calls}) -gt 3 ]")
    assert host.judge(60).returncode == 0
    assert not host.done.exists()


def test_the_first_release_has_nothing_to_go_back_to(host: Host) -> None:
    host.serving("exit 3")
    done = host.judge()
    assert done.returncode == 1
    assert "no earlier configuration" in done.stdout
    assert not host.done.exists()


def test_what_fails_under_a_good_release_is_left_as_it_is(host: Host) -> None:
    host.judge()
    host.serving("exit 3")
    done = host.judge()
    assert done.returncode == 1
    assert "not the release's fault" in done.stdout
    assert not host.done.exists()
