"""docs/deploy.md, followed word by word as far as a machine without nixpkgs can: keys, files, evaluation.

That its commands are ours is looked at in tests/unit/test_docs.py, as of every document.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentplane.cli.main import main
from agentplane.documents.edge import read_document
from agentplane.fleet.inventory import inventory_of
from tests.nixos.conftest import ROOT, Evaluate
from tests.nixos.guide import blocks, keys_command, write_files
from tests.nixos.test_flake import NIX_CONFIG, copy

__all__ = ("copy",)

HARDWARE = """{
  boot.loader.grub.device = "/dev/vda";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  system.stateVersion = "24.05";
}
"""


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which the guide was followed up to the switch."""
    directory = tmp_path / "deployment"
    directory.mkdir()
    monkeypatch.chdir(directory)
    assert main(keys_command()) == 0
    for name in ("trust", "users.json"):
        shutil.move(f"keys/{name}", name)
    write_files(directory)
    (directory / "hardware.nix").write_text(HARDWARE)
    # the guide says so of git, which a flake that is a mere directory does not ask
    shutil.move("keys", tmp_path / "keys")
    return directory


def test_the_keys_are_where_the_guide_copies_them_from(followed: Path) -> None:
    text = "\n".join(block.text for block in blocks() if block.language == "sh")
    for part in ("control/*", "people/operator.nkey"):
        assert f"keys/secret/{part}" in text
        assert list((followed.parent / "keys/secret").glob(part))


def test_the_inventory_is_one(followed: Path) -> None:
    inventory = inventory_of(read_document(followed / "inventory.json"))
    assert [node.name for node in inventory.executors] == ["exec-a"]


@pytest.mark.parametrize(("host", "daemons"), [("control", ("control", "projector")), ("exec-a", ("executor",))])
def test_its_hosts_are_accepted(evaluate: Evaluate, followed: Path, host: str, daemons: tuple[str, ...]) -> None:
    answer = evaluate(f'{{ networking.hostName = "{host}"; imports = [ {followed}/{host}.nix ]; }}')
    assert answer["refused"] == []
    for daemon in daemons:
        (followed / "settings.json").write_text(json.dumps(answer["settings"][daemon]))
        argv = [
            sys.executable,
            "-m",
            f"services.{daemon}",
            "--config",
            str(followed / "settings.json"),
            "--check-config",
        ]
        subprocess.run(argv, check=True, cwd=ROOT)


def test_every_secret_that_a_unit_loads_is_one_that_was_made(evaluate: Evaluate, followed: Path) -> None:
    made = {path.name for path in (followed.parent / "keys/secret/control").iterdir()}
    loaded = evaluate(f"{{ imports = [ {followed}/control.nix ]; }}")["credentials"].values()
    paths = {Path(entry.partition(":")[2]) for entries in loaded for entry in entries if entry}
    assert {path.name for path in paths} <= made
    assert {str(path.parent) for path in paths} == {"/var/keys"}
    loaded = evaluate(f'{{ networking.hostName = "exec-a"; imports = [ {followed}/exec-a.nix ]; }}')["credentials"]
    assert loaded["agentplane-executor"] == [""]


def test_its_flake_evaluates_without_a_warning(copy: Path, followed: Path) -> None:
    look = f"path:{os.environ['NIXPKGS_FLAKE']}"
    argv = ["nix", "flake", "check", "--no-build", "--offline", "--impure", "--no-write-lock-file"]
    for name, flake in (("nixpkgs", look), ("agentplane", f"path:{copy}")):
        argv += ["--override-input", name, flake]
    environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG}
    done = subprocess.run([*argv, f"path:{followed}"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "warning:" in line and "lock file" not in line] == []


def test_unnamed_snippets_evaluate(evaluate: Evaluate) -> None:
    snippets = [block.text for block in blocks() if block.language == "nix" and block.file is None]
    assert snippets
    for snippet in snippets:
        imports = "imports = [ ./fleet/hosts/exec-a.nix ];"
        assert evaluate(f"{{ lib, ... }}: {{ {imports} {snippet.replace('= [', '= lib.mkForce [')} }}")["refused"] == []


def test_its_shell_is_shell() -> None:
    for block in blocks():
        if block.language == "sh":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
