"""What the flake really builds on a Debian machine: vm/ in nixpkgs' place, the sandbox on, no network.

The rest of it needs nixpkgs: see test_flake.py.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nix.conftest import kit
from tests.nix.kit import NIX_CONFIG, Kit
from tests.nixos.conftest import ROOT, tracked

__all__ = ("kit",)

pytestmark = pytest.mark.vm

BUNDLES = ("example-agent", "license-audit", "noop")


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    return tracked(tmp_path / "flake")


def build(kit: Kit, flake: Path, *names: str) -> dict[str, Path]:
    """The outputs of these packages, by name."""
    argv = ["nix", "build", "--json", "--no-link", "--offline", "--impure", "--no-write-lock-file"]
    argv += ["--override-input", "nixpkgs", f"path:{flake}/vm", *(f"path:{flake}#{name}" for name in names)]
    environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG, "AGENTPLANE_KERNEL_DEB": str(kit.kernel_deb)}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    built: list[dict[str, Any]] = json.loads(done.stdout)
    return {name: Path(each["outputs"]["out"]) for name, each in zip(names, built, strict=True)}


def test_every_bundle_is_a_guest_and_a_process(kit: Kit, flake: Path) -> None:
    names = [f"{kind}-{bundle}" for kind in ("guest", "process") for bundle in BUNDLES]
    for name, path in build(kit, flake, *names).items():
        kind, bundle = name.split("-", 1)
        described = json.loads((path / f"{kind}.json").read_text())
        assert described["name"] == bundle
        assert Path(described["entry"]).exists()


def test_a_flake_s_guest_is_the_one_that_an_executor_builds(kit: Kit, flake: Path) -> None:
    path = build(kit, flake, "guest-noop")["guest-noop"]
    ours = kit.bundle("noop")
    theirs = json.loads((path / "guest.json").read_text())
    assert {key: theirs[key] for key in ("kernel", "initrd", "cmdline")} == {
        key: ours[key] for key in ("kernel", "initrd", "cmdline")
    }


def test_the_guest_kit_holds_what_guests_share(kit: Kit, flake: Path) -> None:
    path = build(kit, flake, "guest-kit")["guest-kit"]
    probe = json.loads((path / "probe.json").read_text())
    assert (path / "kernel").resolve() == Path(probe["kernel"]).resolve()
    assert (path / "initrd.cpio").resolve() == Path(probe["initrd"]).resolve()
    assert (path / "share/agentplane/vm/default.nix").read_text() == (ROOT / "vm/default.nix").read_text()


def test_the_lock_names_a_nixpkgs_release_and_its_hash() -> None:
    node = json.loads((ROOT / "flake.lock").read_text())["nodes"]["nixpkgs"]
    assert node["original"]["ref"] == "nixos-26.05"
    assert len(node["locked"]["rev"]) == 40
    assert node["locked"]["narHash"].startswith("sha256-")


def test_without_debian_packages_it_says_which_one_is_missing(flake: Path) -> None:
    if shutil.which("nix") is None:
        pytest.skip("no Nix")
    argv = ["nix", "build", "--no-link", "--offline", "--impure", "--no-write-lock-file"]
    argv += ["--override-input", "nixpkgs", f"path:{flake}/vm", f"path:{flake}#guest-noop"]
    environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG, "AGENTPLANE_KERNEL_DEB": ""}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode != 0
    assert "AGENTPLANE_KERNEL_DEB" in done.stderr
