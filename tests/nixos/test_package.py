"""modules/nix/package.nix: what it is told and what its install phase makes, without nixpkgs to build it with."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.nixos.conftest import ROOT, tracked

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def package(tree: Path) -> dict[str, Any]:
    """The arguments that nixpkgs' builder gets; every Python package is its own name."""
    names = "nkeys jsonschema-rs nats-py orjson prometheus-client psycopg pydantic pyyaml rfc8785 rich sdnotify"
    names += " structlog supervisor click cryptography msgspec setuptools"
    expression = f"""
      let
        lib = import {tree}/lib;
        python3Packages = lib.genAttrs (lib.splitString " " "{names}") (name: name)
          // {{ buildPythonApplication = it: builtins.removeAttrs it [ "src" "meta" ]; }};
      in import {ROOT}/modules/nix/package.nix {{
        inherit lib python3Packages;
        bubblewrap = "bubblewrap"; coreutils = "/usr"; nats-server = "nats-server"; nix = "nix";
        postgresql = "postgresql"; qemu = "qemu"; util-linux = "util-linux";
      }}"""
    argv = ["nix-instantiate", "--eval", "--strict", "--json", "--expr", expression]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture
def installed(package: dict[str, Any], tmp_path: Path) -> Path:
    """What the install phase makes beside what setuptools installs."""
    out, source = tmp_path / "out", tracked(tmp_path / "source")
    (out / "bin").mkdir(parents=True)
    for name in PROJECT["scripts"]:
        (out / "bin" / name).write_text("#!/bin/sh\n")
        (out / "bin" / name).chmod(0o755)
    script = f"set -euo pipefail; out={out}\n{package['postInstall']}"
    subprocess.run(["bash", "-c", script], check=True, cwd=source)
    return out


def test_it_names_every_dependency_of_the_project(package: dict[str, Any]) -> None:
    wanted = {re.split(r"[\[>=<]", each)[0].lower().replace("_", "-") for each in PROJECT["dependencies"]}
    assert wanted | {"nkeys", "supervisor"} == set(package["dependencies"])
    assert package["version"] == PROJECT["version"]


def test_every_unit_is_there_and_starts_what_is_installed(installed: Path) -> None:
    units = installed / "lib/systemd/system"
    assert {path.name for path in units.iterdir()} == {path.name for path in (ROOT / "services/units").iterdir()}
    for unit in units.iterdir():
        for line in unit.read_text().splitlines():
            if line.startswith("Exec"):
                program = line.partition("=")[2].split()[0].lstrip("-+!:@")
                assert Path(program).is_file(), f"{unit.name}: {line}"


def test_programs_of_units_and_builds_say_what_they_take(installed: Path) -> None:
    for name in ("agentplane-database", "agentplane-bus"):
        argv = [sys.executable, str(installed / "bin" / name), "--help"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
        assert name in done.stdout


def test_kit_bundles_and_fleet_come_along(installed: Path) -> None:
    share = installed / "share/agentplane"
    assert (share / "vm/default.nix").is_file()
    assert (share / "bundles/noop/bundle.json").is_file()
    assert (share / "fleet/hosts/control.nix").is_file()
