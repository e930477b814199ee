"""A support bundle of a running stack: complete, and without any of its secrets."""

import json
import tarfile
from pathlib import Path

import pytest

from agentplane.stack.postgres import read_password
from tests.stack.plane import DAEMONS, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

PLANTED = "kj3-plánted/secret 0451"


def secrets_of(plane: Plane) -> set[str]:
    layout = plane.layout
    values = {read_password(path) for path in layout.passfiles.iterdir()}
    values |= {path.read_text().strip() for path in layout.nkeys.iterdir()}
    for path in layout.keys.glob("*.key"):
        values |= {line for line in path.read_text().splitlines() if not line.startswith("-----")}
    return values | {PLANTED}


def test_all_of_it_and_no_secret(plane: Plane, tmp_path: Path) -> None:
    planted = plane.layout.secrets / "PLANTED"
    planted.write_text(PLANTED)
    plane.sealed(plane.submit(make_bundle(tmp_path, "exit 0\n", name="noticed")))
    log, target = plane.layout.logs / "control.log", tmp_path / "bundle.tar.gz"
    with log.open("a") as file:  # as a careless library would
        file.writelines(f"found {secret}\n" for secret in secrets_of(plane))
    plane.call("support-bundle", "--to", target)
    planted.unlink()
    with tarfile.open(target) as tar:
        texts = {name: found.read().decode() for name in tar.getnames() if (found := tar.extractfile(name))}
    for secret in secrets_of(plane):
        assert secret in log.read_text()
        assert not [name for name, text in texts.items() if secret in text]
    parts = {name: json.loads(text) for name, text in texts.items() if name.endswith(".json")}
    assert not [name for name, part in parts.items() if "error" in part]
    assert set(DAEMONS) <= {each["name"] for each in parts["agentplane-support/stack-status.json"]}
    assert all(each["lag"] >= 0 for each in parts["agentplane-support/projections.json"])
    assert "run.finished" in {each["type"] for each in parts["agentplane-support/events.json"]["types"]}
    assert {f"agentplane-support/log/{daemon}.log" for daemon in DAEMONS} <= set(texts)
