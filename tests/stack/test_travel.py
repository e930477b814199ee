"""Bundles go out through a signed cache and files come back over the bus, with everything running."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentplane.caches.narinfo import hash_part
from agentplane.runners.nix import environment
from agentplane.stack import provision
from tests.stack.conftest import KEPT
from tests.stack.plane import COMMAND, Plane
from tests.stack.workloads import make_bundle

pytestmark = pytest.mark.stack

SCRIPT = (
    "head -c 1500000 /dev/zero | tr '\\0' x > $AGENTPLANE_ARTIFACTS/large.bin\necho ok > $AGENTPLANE_ARTIFACTS/note\n"
)


class Travel:
    """A cache, a key, and an executor that builds nothing itself."""

    def __init__(self, plane: Plane, directory: Path) -> None:
        self.plane = plane
        self.directory = directory
        self.cache = directory / "cache"
        self.key = directory / "builder.key"
        self.public = plane.call("cache", "key", "builder-1", "--to", self.key).stdout.strip()

    def push(self, parent: Path, name: str) -> tuple[Path, Path, dict[str, Any]]:
        """A bundle that nobody has but the cache; what the push printed, as a file and read."""
        bundle = make_bundle(parent, SCRIPT, name=name)
        (bundle / "unique").write_text(str(uuid.uuid4()))
        argv = ("bundle", "push", bundle, "--to", self.cache.as_uri(), "--key-file", self.key, "-o", "json")
        pushed = parent / f"{name}.json"
        pushed.write_text(self.plane.call(*argv).stdout)
        printed: dict[str, Any] = json.loads(pushed.read_text())
        shutil.rmtree(self.directory / "agentplane" / "nix")
        _nix_store("--delete", *_nix_store("--query", "--referrers-closure", printed["source"]["path"]).split())
        return bundle, pushed, printed

    def description(self, printed: dict[str, Any]) -> Path:
        return self.cache / f"{hash_part(printed['built'][0]['spec']['path'])}.narinfo"


def _nix_store(*argv: str) -> str:
    done = subprocess.run(
        ["nix-store", *argv], capture_output=True, text=True, check=True, env={**os.environ, **environment()}
    )
    return done.stdout


@pytest.fixture(scope="module")
def travel(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Travel]:
    directory = tmp_path_factory.mktemp("travel")
    (directory / "agentplane" / "kernel").mkdir(parents=True)
    shutil.copy(KEPT / "kernel" / "kernel.txt", directory / "agentplane" / "kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory))  # where a builder keeps its roots
        travel = Travel(plane, directory)
        path = plane.layout.config / "executor.json"
        before = path.read_text()
        bundles = {"caches": [travel.cache.as_uri()], "trusted_public_keys": [travel.public], "build": "never"}
        provision.write_json(path, {**json.loads(before), "bundles": bundles})
        plane.kill("executor")
        plane.call("stack", "up")
        yield travel
        path.write_text(before)
        plane.kill("executor")
        plane.call("stack", "up")


def test_a_pushed_bundle_is_pulled_run_and_its_files_come_back(travel: Travel, plane: Plane, tmp_path: Path) -> None:
    bundle, pushed, printed = travel.push(tmp_path, "travelled")
    spec = Path(printed["built"][0]["spec"]["path"])
    assert not spec.exists()
    run = plane.submit(bundle, "--pushed", pushed)
    assert plane.sealed(run)["succeeded"]
    assert spec.exists()
    assert plane.view(run, "succeeded")["pins"]["built"] == printed["built"]

    listed = json.loads(plane.call("artifacts", "list", run, "-o", "json").stdout)
    assert {"large.bin", "note", "run-artifact.json"} <= {fact["path"] for fact in listed}
    plane.call("artifacts", "get", run, "--to", tmp_path / "got")
    assert (tmp_path / "got" / "large.bin").read_bytes() == b"x" * 1_500_000
    assert (tmp_path / "got" / "note").read_text() == "ok\n"
    assert json.loads((tmp_path / "got" / "run-artifact.json").read_text())["status"] == "success"


@pytest.mark.skipif(os.geteuid() != 0, reason="hides the executor's files from a command by a mount of its own")
def test_evidence_is_exported_where_the_executors_files_are_not(travel: Travel, plane: Plane, tmp_path: Path) -> None:
    bundle, pushed, _ = travel.push(tmp_path, "remote")
    run = plane.submit(bundle, "--pushed", pushed)
    plane.sealed(run)
    hide = 'mount -t tmpfs none "$1" && shift && exec "$@"'
    export = [*COMMAND, "evidence", "export", run, "--to", str(tmp_path / "export")]
    subprocess.run(
        ["unshare", "--mount", "sh", "-c", hide, "sh", str(plane.layout.executor), *export],
        check=True,
        env={**os.environ, "AGENTPLANE_STATE_DIR": str(plane.layout.root)},
        stdout=sys.stderr,
    )
    plane.call("evidence", "verify", tmp_path / "export", "--keys", plane.layout.trusted_keys)
    assert (tmp_path / "export" / "artifacts" / "large.bin").stat().st_size == 1_500_000


@pytest.mark.parametrize("code", ["cache.unsigned", "cache.unknown-key", "cache.signature", "bundle.not-built"])
def test_what_must_not_run_fails_with_its_reason(travel: Travel, plane: Plane, tmp_path: Path, code: str) -> None:
    bundle, pushed, printed = travel.push(tmp_path, code.replace(".", "-"))
    description = travel.description(printed)
    lines = description.read_text().splitlines(keepends=True)
    if code == "cache.unsigned":
        lines = [line for line in lines if not line.startswith("Sig:")]
    elif code == "cache.unknown-key":
        lines = [line.replace("Sig: builder-1", "Sig: stranger-1") for line in lines]
    elif code == "cache.signature":
        lines = [line.replace("NarSize: ", "NarSize: 1") for line in lines]
    description.write_text("".join(lines))
    arguments = () if code == "bundle.not-built" else ("--pushed", pushed)
    run = plane.submit(bundle, *arguments)
    finished = plane.sealed(run)
    assert (finished["outcome"], finished["succeeded"]) == ("host-failed", False)
    assert finished["message"].startswith(f"{code}: ")
    assert not Path(printed["built"][0]["spec"]["path"]).exists()
    plane.view(run, "failed")
    assert code in plane.call("describe", "run", run).stdout
    plane.verify(run, tmp_path / "evidence")
