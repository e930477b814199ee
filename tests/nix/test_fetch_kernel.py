"""vm/fetch-kernel.sh against an archive of our own making: two scripts in place of apt-get and apt-cache."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKED = "linux-image-6.1.0-1-cloud-amd64"
NEWER = "linux-image-6.1.0-2-cloud-amd64"

APT_CACHE = """#!/bin/sh
case $1 in
  show) cat "{archive}/$2.show" 2>/dev/null ;;
  depends) cat "{archive}/depends" 2>/dev/null ;;
  policy) echo "  Candidate: 2.0" ;;
esac
"""
APT_GET = """#!/bin/sh
for last; do :; done
echo "$last" >>"{archive}/downloads"
cp "{archive}/$last.deb" "$(echo "$last" | tr = _)_amd64.deb"
"""


class Archive:
    """A kit with its own lock, and an archive with the given packages (`name=version` to content)."""

    def __init__(self, directory: Path, packages: Mapping[str, bytes]) -> None:
        self.directory = directory / "archive"
        self.destination = directory / "kernel"
        self.kit = directory / "vm"
        for folder in (self.directory / "bin", self.kit):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "vm/fetch-kernel.sh", self.kit)
        lock = {"package": LOCKED, "version": "1.0", "sha256": hashlib.sha256(b"one").hexdigest()}
        (self.kit / "kernel.lock.json").write_text(json.dumps(lock, indent=2))
        for name, script in (("apt-cache", APT_CACHE), ("apt-get", APT_GET)):
            program = self.directory / "bin" / name
            program.write_text(script.format(archive=self.directory))
            program.chmod(0o755)
        (self.directory / "depends").write_text(f"linux-image-cloud-amd64\n  Depends: {NEWER}\n")
        for name, content in packages.items():
            (self.directory / f"{name}.deb").write_bytes(content)
            (self.directory / f"{name}.show").write_text(f"SHA256: {hashlib.sha256(content).hexdigest()}\n")

    def fetch(self) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(
            [self.kit / "fetch-kernel.sh", self.destination],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def downloads(self) -> list[str]:
        log = self.directory / "downloads"
        return log.read_text().split() if log.exists() else []


def test_the_locked_version_is_fetched_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path, {f"{LOCKED}=1.0": b"one", f"{NEWER}=2.0": b"two"})
    done = [archive.fetch() for _ in range(2)]
    assert [run.returncode for run in done] == [0, 0]
    path, sha256 = done[0].stdout.splitlines()
    assert done[1].stdout == done[0].stdout
    assert (Path(path).read_bytes(), sha256) == (b"one", hashlib.sha256(b"one").hexdigest())
    assert archive.downloads == [f"{LOCKED}=1.0"]


def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    archive = Archive(tmp_path, {f"{LOCKED}=1.0": b"one"})
    path = Path(archive.fetch().stdout.splitlines()[0])
    path.write_bytes(b"torn")
    assert archive.fetch().returncode == 0
    assert path.read_bytes() == b"one"


def test_the_newest_is_taken_and_said_when_the_locked_one_is_gone(tmp_path: Path) -> None:
    archive = Archive(tmp_path, {f"{NEWER}=2.0": b"two"})
    done = archive.fetch()
    assert done.returncode == 0
    path, sha256 = done.stdout.splitlines()
    assert (Path(path).read_bytes(), sha256) == (b"two", hashlib.sha256(b"two").hexdigest())
    assert f"{LOCKED} 1.0 has left the archive; taking {NEWER} 2.0 instead" in done.stderr


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    archive = Archive(tmp_path, {f"{NEWER}=2.0": b"two"})
    (archive.directory / f"{NEWER}=2.0.deb").write_bytes(b"forged")
    done = archive.fetch()
    assert (done.returncode, done.stdout) == (1, "")
    assert "has another sha256" in done.stderr
    assert "fix: rm" in done.stderr


@pytest.mark.parametrize("index", ["", "linux-image-cloud-amd64\n"])
def test_an_archive_without_kernels_is_said(tmp_path: Path, index: str) -> None:
    archive = Archive(tmp_path, {})
    (archive.directory / "depends").write_text(index)
    done = archive.fetch()
    assert done.returncode == 1
    assert "apt knows no cloud kernel\nfix: apt-get update" in done.stderr
