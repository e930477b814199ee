"""Acceleration is found out by booting; Nix is called only for what is new."""

import json
import os
import shutil
from pathlib import Path

import pytest

from agentplane.errors import Broken, NotFound, Refused, Tampered
from agentplane.guests.spec import parse_guest, parse_probe
from agentplane.runners import nix as nix_module
from agentplane.runners.nix import Nix
from agentplane.runners.probe import Probe
from agentplane.runs.model import StorePath
from tests.vm.conftest import HOSTILE

pytestmark = pytest.mark.vm


def test_a_probe_boots_to_its_sentinel(nix: Nix, tmp_path: Path) -> None:
    probe = parse_probe(Path(nix.build_probe().path).read_bytes())
    assert Probe(tmp_path).boot(probe, "tcg", 30.0).cause == "ok"


def test_a_guest_that_does_not_come_in_time_is_a_hang(nix: Nix, tmp_path: Path) -> None:
    probe = parse_probe(Path(nix.build_probe().path).read_bytes())
    answer = Probe(tmp_path).boot(probe, "tcg", 0.05)
    assert not answer.usable
    assert answer.cause.startswith("hang: ")


def test_an_emulator_that_ends_is_an_abort(nix: Nix, tmp_path: Path) -> None:
    broken = tmp_path / "qemu"
    broken.write_text("#!/bin/sh\necho Assertion failed\nkill -ABRT $$\n")
    broken.chmod(0o755)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    probe = parse_probe(Path(nix.build_probe().path).read_bytes())
    answer = Probe(tmp_path / "state", str(broken)).boot(probe, "tcg", 30.0)
    assert answer.cause == "abort: QEMU ended with signal 6 under tcg; it last said: Assertion failed"


def test_what_kvm_does_is_remembered(nix: Nix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = nix.build_probe()
    probe = Probe(tmp_path)
    first = probe.kvm(spec)
    if not Path("/dev/kvm").exists():
        assert first.cause.startswith("absent")
        return
    assert first.usable == (first.cause == "ok")
    monkeypatch.setattr(Probe, "boot", lambda *_: pytest.fail("it was booted again"))
    assert probe.kvm(spec) == first


def test_a_warm_build_calls_nothing(nix: Nix, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> tuple[StorePath, StorePath, StorePath]:
        source = nix.add_tree(HOSTILE / "well-behaved", "bundle-well-behaved")
        guest = nix.build_guest(source, "well-behaved", "guest.nix", "smoke.sh")
        return source, guest, nix.build_input_image("tree", source)

    cold = build()
    parse_guest(Path(cold[1].path).read_bytes())
    monkeypatch.setattr(nix_module, "run", lambda *_, **__: pytest.fail("Nix was called"))
    assert build() == cold
    for path in cold:
        nix.verify(path)


def test_a_bundle_that_does_not_build_says_why(nix: Nix, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "well-behaved", bundle)
    (bundle / "guest.nix").write_text("{ pkgs, ... }: { packages = [ pkgs.no-such-package ]; }\n")
    source = nix.add_tree(bundle, "bundle-broken")
    with pytest.raises(Broken, match="no-such-package") as broken:
        nix.build_guest(source, "broken", "guest.nix", "smoke.sh")
    assert broken.value.code == "nix.build-failed"


def test_a_bundle_cannot_read_the_host_while_it_is_evaluated(nix: Nix, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "well-behaved", bundle)
    (bundle / "guest.nix").write_text('_: { environment.STOLEN = builtins.readFile "/etc/passwd"; }\n')
    source = nix.add_tree(bundle, "bundle-thief")
    with pytest.raises(Broken, match="forbidden in restricted mode"):
        nix.build_guest(source, "thief", "guest.nix", "smoke.sh")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's builds have users of their own")
def test_a_builder_of_a_bundle_cannot_change_what_others_share(nix: Nix, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "well-behaved", bundle)
    attack = "chmod u+w ${pkgs.pkgsStatic.busybox}/bin/busybox; mkdir $out"
    marker = f"# {os.getpid()}"  # never built before
    (bundle / "guest.nix").write_text(
        '{ pkgs, ... }: { packages = [ (pkgs.runCommand "poison" { } "' + attack + '") ]; } ' + marker + "\n"
    )
    source = nix.add_tree(bundle, "bundle-poison")
    with pytest.raises(Broken, match="Operation not permitted"):
        nix.build_guest(source, "poison", "guest.nix", "smoke.sh")


def test_a_builder_of_a_bundle_has_no_network(nix: Nix, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(HOSTILE / "well-behaved", bundle)
    fixed = 'outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashMode = "flat";'
    script = "cat /proc/net/dev >&2; exit 1"
    (bundle / "guest.nix").write_text(
        '{ pkgs, ... }: { packages = [ (pkgs.runCommand "fetch" { ' + fixed + ' } "' + script + '") ]; }\n'
    )
    source = nix.add_tree(bundle, "bundle-fetch")
    with pytest.raises(Broken) as broken:
        nix.build_guest(source, "fetch", "guest.nix", "smoke.sh")
    devices = [line.split(":")[0].split()[-1] for line in broken.value.message.splitlines() if ": " in line]
    assert "eth0" not in " ".join(devices)
    assert "lo" in devices


def test_a_path_that_is_not_what_was_pinned_is_told(nix: Nix) -> None:
    source = nix.add_tree(HOSTILE / "well-behaved", "bundle-well-behaved")
    with pytest.raises(Tampered, match="pinned was"):
        nix.verify(StorePath(path=source.path, nar_hash="sha256:" + "0" * 52))
    with pytest.raises(NotFound):
        nix.verify(StorePath(path="/nix/store/" + "0" * 32 + "-nothing", nar_hash=source.nar_hash))
    with pytest.raises(Refused):
        nix.verify(StorePath(path="/etc/passwd", nar_hash=source.nar_hash))


def test_a_tree_is_added_without_what_is_excluded(nix: Nix, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    (tree / ".git" / "config").write_text("secret")
    (tree / "a").write_text(json.dumps("a"))
    added = nix.add_tree(tree, "some-tree", frozenset({".git"}))
    assert [path.name for path in Path(added.path).iterdir()] == ["a"]
