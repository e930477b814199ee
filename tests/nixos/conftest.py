"""Evaluates our NixOS modules with a nixpkgs tree that the environment names, or says loudly why not."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

Evaluate = Callable[[str], dict[str, Any]]


class Refused(Exception):
    """What Nix said."""


def tracked(directory: Path) -> Path:
    """A copy of the tracked files: what a flake sees."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, cwd=ROOT).stdout.split(b"\0")
    for name in filter(None, map(os.fsdecode, listed)):
        if (ROOT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, directory / name)
    return directory


@pytest.fixture(scope="session")
def tree() -> Path:
    named = os.environ.get("NIXPKGS_TREE")
    if named is None or shutil.which("nix-instantiate") is None:
        pytest.skip("NIXPKGS_TREE names no nixpkgs checkout (lib, nixos, pkgs/pkgs-lib), or Nix is absent: unevaluated")
    return Path(named)


@pytest.fixture
def evaluate(tree: Path) -> Evaluate:
    """What the modules make of a host, a NixOS module as text; its paths begin in the checkout."""

    def call(host: str) -> dict[str, Any]:
        expression = f"import {ROOT}/tests/nixos/evaluate.nix {{ tree = {tree}; host = {host}; }}"
        argv = ["nix-instantiate", "--eval", "--strict", "--json", "--read-write-mode", "--expr", expression]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode != 0:
            raise Refused(done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return call
