"""Run again from its pins: the same, or what differs is named."""

import json
from pathlib import Path

import pytest

from tests.stack.plane import ROOT, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack


@pytest.mark.vm
def test_a_guest_that_does_the_same_matches(plane: Plane, tmp_path: Path) -> None:
    run = plane.call("run", ROOT / "bundles" / "noop", "--wait").stdout.strip()
    replayed = plane.call("replay", run)
    assert "MATCH" in replayed.stderr
    plane.verify(replayed.stdout.strip(), tmp_path / "evidence")


def test_random_bytes_are_named(plane: Plane, tmp_path: Path) -> None:
    script = 'head -c 32 /dev/urandom > "$AGENTPLANE_ARTIFACTS/noise.bin"\necho same > "$AGENTPLANE_ARTIFACTS/same"\n'
    run = plane.submit(make_bundle(tmp_path, script, name="random"))
    plane.sealed(run)
    plane.view(run, "succeeded")
    replayed = plane.call("replay", run, status=1)
    name = replayed.stdout.strip()
    finished = plane.sealed(name)
    assert finished["replay"]["match"] is False
    assert "noise.bin" in " ".join(finished["replay"]["differences"])
    assert "same" not in [each.split(":")[0] for each in finished["replay"]["differences"]]
    for kind in ("divergence", "postcondition"):
        document = json.loads((Path(finished["outDir"]) / f"{kind}-artifact.json").read_text())
        assert "noise.bin" in json.dumps(document)
    plane.verify(name, tmp_path / "evidence")
