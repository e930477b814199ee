"""docs/options.md: fresh, whole, and from the models that the daemons check with."""

import os
import subprocess
import sys
from pathlib import Path

from tests.nixos.conftest import ROOT

PAGE = (ROOT / "docs" / "options.md").read_text()
SCRIPT = [sys.executable, str(ROOT / "scripts" / "option_docs.py"), "--check"]


def test_settings_are_those_of_the_models() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NIXPKGS_TREE"}
    done = subprocess.run(SCRIPT, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "taken as they are" in done.stderr
    for name in ("nats.tls.ca_file", "policy.lanes.NAME.humanGate", "limits.memory_mib", "people.NAME.tenant"):
        assert f"| `{name}` |" in PAGE


def test_options_are_those_of_the_modules(tree: Path) -> None:
    environment = {**os.environ, "NIXPKGS_TREE": str(tree)}
    done = subprocess.run(SCRIPT, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("taken as they are") == 0


def test_every_module_has_its_options() -> None:
    for name in ("control", "projector", "executor", "database", "bus", "context", "release"):
        assert f"### services.agentplane.{name}." in PAGE
