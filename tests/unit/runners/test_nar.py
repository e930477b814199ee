"""NAR hashes, against values that Nix itself printed and against Nix where it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agentplane.errors import Refused
from agentplane.runners.nar import base32, nar_hash
from agentplane.runners.nix import environment


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b" / "empty").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"hello\n")
    (root / "B").write_bytes(b"12345678")
    (root / "run.sh").write_bytes(b"#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "b" / "link").symlink_to("../a.txt")
    return root


def test_base32_is_nixs() -> None:
    # `nix hash to-base32` of the sha256 of nothing
    empty = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert base32(empty) == "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"


def test_a_tree_hashes_as_nix_says(tree: Path) -> None:
    if shutil.which("nix-hash") is None:
        pytest.skip("nix-hash is not installed: nothing to compare with")
    said = subprocess.run(
        ["nix-hash", "--type", "sha256", "--base32", str(tree)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment()},
    )
    assert nar_hash(tree) == f"sha256:{said.stdout.strip()}"


def test_every_property_of_a_tree_counts(tree: Path) -> None:
    seen = {nar_hash(tree)}
    for change in (
        lambda: (tree / "a.txt").write_bytes(b"hellO\n"),
        lambda: (tree / "a.txt").chmod(0o755),
        lambda: (tree / "a.txt").rename(tree / "c.txt"),
        (tree / "b" / "empty").rmdir,
    ):
        change()
        seen.add(nar_hash(tree))
    assert len(seen) == 5


def test_times_and_other_modes_do_not_count(tree: Path) -> None:
    before = nar_hash(tree)
    os.utime(tree / "a.txt", (0, 0))
    (tree / "a.txt").chmod(0o600)
    assert nar_hash(tree) == before


def test_what_a_store_cannot_hold_is_refused(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(Refused, match="neither file") as refusal:
        nar_hash(tree)
    assert refusal.value.code == "tree.type"


def test_endless_depth_is_refused(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep /= "d"
    deep.mkdir(parents=True)
    with pytest.raises(Refused, match="deeper"):
        nar_hash(tmp_path / "d")
