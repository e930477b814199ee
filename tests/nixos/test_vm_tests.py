"""The NixOS VM tests, as far as a machine without nixpkgs can judge them: their hosts evaluate whole, against the real
module list, and their scripts are Python that names only hosts and functions that there are. They were never run here.
"""

import ast
import builtins
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.nixos.conftest import ROOT
from tests.nixos.test_flake import NIX_CONFIG

TESTS = (
    "bad-release-reverses-itself",
    "demo",
    "executor-joins-and-is-revoked",
    "fleet-runs-a-bundle",
    "host-rebooted-mid-run",
)
DRIVER = {"start_all", "subtest"}  # of nixpkgs' test driver


@pytest.fixture(scope="module")
def evaluated(tree: Path) -> dict[str, Any]:
    if "NIXPKGS_FLAKE" not in os.environ:
        pytest.skip("NIXPKGS_FLAKE names no look-alike nixpkgs: the VM tests are unevaluated")
    look = f"path:{os.environ['NIXPKGS_FLAKE']}"
    expression = f'import {ROOT}/tests/nixos/vm-tests.nix {{ look = "{look}"; }}'
    argv = ["nix", "eval", "--offline", "--impure", "--json", "--expr", expression]
    environment = {**os.environ, "NIX_CONFIG": NIX_CONFIG}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_every_test_is_looked_at(evaluated: dict[str, Any]) -> None:
    assert tuple(sorted(evaluated)) == TESTS


@pytest.mark.parametrize("name", TESTS)
def test_its_hosts_are_accepted_without_a_warning(evaluated: dict[str, Any], name: str) -> None:
    for host in evaluated[name]["hosts"].values():
        assert host["refused"] == []
        assert host["warnings"] == []


@pytest.mark.parametrize("name", TESTS)
def test_its_script_names_only_what_there_is(evaluated: dict[str, Any], name: str) -> None:
    test = evaluated[name]
    tree = ast.parse(test["script"])
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    parameters = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    known = stored | defined | parameters | imported | set(test["hosts"]) | DRIVER | set(dir(builtins))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used <= known


def test_the_control_host_opens_the_bus_and_nothing_else(evaluated: dict[str, Any]) -> None:
    hosts = evaluated["fleet-runs-a-bundle"]["hosts"]
    assert {name: host["ports"] for name, host in hosts.items()} == {"control": [4222], "alpha": [], "beta": []}


def test_secrets_come_from_outside_of_the_store(evaluated: dict[str, Any]) -> None:
    units = evaluated["fleet-runs-a-bundle"]["hosts"]["control"]["units"]
    loaded = [line for text in units.values() for line in text.splitlines() if line.startswith("LoadCredential=")]
    paths = [line.partition(":")[2] for line in loaded if ":" in line]
    assert len(paths) == 14
    assert all(path.startswith("/var/keys/") for path in paths)
