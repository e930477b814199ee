"""Nix and QEMU, or a loud reason why not. AGENTPLANE_REQUIRE_VM=1 turns the reason into a failure."""

import os
import shutil
from pathlib import Path

import pytest

from tests.nix.kit import Kit, fetch_kernel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def kit() -> Kit:
    """The guest kit of this checkout, with the pinned kernel."""
    missing = [program for program in ("nix-build", "qemu-system-x86_64") if shutil.which(program) is None]
    if missing:
        _unavailable(f"{', '.join(missing)} not found; fix: apt-get install nix-bin qemu-system-x86")
    deb = os.environ.get("AGENTPLANE_KERNEL_DEB")
    try:
        return Kit(ROOT, Path(deb) if deb else fetch_kernel(ROOT))
    except OSError as exc:
        _unavailable(str(exc))
        raise


def _unavailable(reason: str) -> None:
    if os.environ.get("AGENTPLANE_REQUIRE_VM") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
