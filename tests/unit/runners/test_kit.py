"""Which kernel package guests are built with on a Debian host."""

import hashlib
import shutil
import sys
from pathlib import Path

import pytest

from agentplane.runners import kit


def test_the_kernel_that_the_installation_brought_is_taken_and_nothing_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = tmp_path / "share" / "agentplane"
    (share / "vm").mkdir(parents=True)
    (share / "vm" / "default.nix").touch()
    (share / "kernel").mkdir()
    (share / "kernel" / "linux-image-6.1_amd64.deb").write_bytes(b"a package")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")
    found = kit.find_kit(tmp_path / "state", {"AGENTPLANE_VM_KIT": str(share / "vm")})
    assert found.kernel_deb == share / "kernel" / "linux-image-6.1_amd64.deb"
    assert found.kernel_sha256 == hashlib.sha256(b"a package").hexdigest()
    assert not (tmp_path / "state").exists()
