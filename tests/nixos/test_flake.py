"""The flake as a whole, against a real NixOS module list: a look-alike nixpkgs that evaluates and builds nothing.

NIXPKGS_FLAKE is a directory whose flake has `lib.nixosSystem` and `legacyPackages`; it reads NIXPKGS_TREE.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.nixos.conftest import tracked

NIX_CONFIG = "experimental-features = nix-command flakes\nbuild-users-group =\nsubstituters =\n"
Done = subprocess.CompletedProcess[str]


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    """The tracked files, as a flake sees them."""
    if "NIXPKGS_FLAKE" not in os.environ:
        pytest.skip("NIXPKGS_FLAKE names no look-alike nixpkgs: the flake is unevaluated")
    return tracked(tmp_path / "flake")


def check(flake: Path) -> Done:
    """`nix flake check --no-build` with the look-alike in nixpkgs' place."""
    argv = ["nix", "flake", "check", "--no-build", "--offline", "--impure", "--no-write-lock-file"]
    argv += ["--override-input", "nixpkgs", f"path:{os.environ['NIXPKGS_FLAKE']}", f"path:{flake}"]
    environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def test_every_output_evaluates_without_a_warning(copy: Path) -> None:
    done = check(copy)
    assert done.returncode == 0, done.stderr
    # the lock names the real nixpkgs, and is not to be changed
    said = [line for line in done.stderr.splitlines() if "warning:" in line and "lock file" not in line]
    assert said == []


def test_a_wrong_option_in_a_host_fails_the_check(copy: Path) -> None:
    host = copy / "fleet" / "hosts" / "executor.nix"
    host.write_text(host.read_text().replace("executor.enable = true;", 'executor.enable = "yes";'))
    done = check(copy)
    assert done.returncode != 0
    assert "services.agentplane.executor.enable" in done.stderr


def test_a_secret_in_the_store_fails_the_check(copy: Path) -> None:
    host = copy / "fleet" / "hosts" / "control.nix"
    host.write_text(host.read_text().replace('"/var/keys"', '"${../trust}"'))
    done = check(copy)
    assert done.returncode != 0
    assert "everybody can read" in done.stderr
