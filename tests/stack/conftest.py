"""One stack for the session, in a directory of its own, on free ports; nothing of it may be left at the end."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentplane.runners.kit import find_kit
from agentplane.stack.ports import load_ports, require_free
from tests.stack.plane import ROOT, Plane
from tests.stack.processes import living_in
from tests.stack.workloads import GATED, make_bundle

KEPT = ROOT / ".agentplane" / "test-guests"


@pytest.fixture(scope="session")
def directory() -> Iterator[Path]:
    """A state directory that PostgreSQL's user can reach, with the kernel package of other sessions."""
    for program in ("nix-build", "qemu-system-x86_64", "bwrap"):
        if shutil.which(program) is None and not os.environ.get("AGENTPLANE_REQUIRE_STACK"):
            pytest.skip(f"{program} is not installed")
    path = Path(tempfile.mkdtemp(prefix="agentplane-stack-"))
    path.chmod(0o711)
    find_kit(KEPT)
    if (KEPT / "kernel" / "kernel.txt").exists():
        (path / "kernel").mkdir()
        shutil.copy(KEPT / "kernel" / "kernel.txt", path / "kernel")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def plane(directory: Path) -> Iterator[Plane]:
    plane = Plane(directory)
    plane.call("stack", "up")
    plane.reconfigure(heartbeat_seconds=1)
    yield plane
    plane.call("stack", "down")
    assert living_in(directory) == []
    ports = load_ports(plane.layout.ports)
    assert ports is not None
    require_free(ports)
    assert not plane.layout.control_socket.exists()


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    """A bundle whose workload waits until its `sleep` is ended."""
    return make_bundle(tmp_path, GATED)
