"""Guests built by Nix and booted by QEMU, for real; the kernel package and builds are kept between sessions."""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentplane.runners.host import Host
from agentplane.runners.kit import Kit, find_kit
from agentplane.runners.nix import Nix
from agentplane.runners.plan import Caps, InputImage, Plan
from agentplane.runs.model import Resources, StorePath

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ROOT / "tests" / "fixtures" / "hostile"
KEPT = ROOT / ".agentplane" / "test-guests"

MakePlan = Callable[..., Plan]


@pytest.fixture(scope="session")
def kit() -> Kit:
    for program in ("nix-build", "qemu-system-x86_64"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: no guest can be built or booted")
    return find_kit(KEPT)


@pytest.fixture(scope="session")
def nix(kit: Kit) -> Nix:
    return Nix(KEPT, kit)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(state_dir=tmp_path / "state")


@pytest.fixture
def plan(nix: Nix, tmp_path: Path) -> MakePlan:
    """A plan for a hostile bundle by name, or for a spec that is given."""
    numbers = itertools.count(1)

    def make(bundle: str, *, kind: str = "guest", inputs: tuple[InputImage, ...] = (), **changes: Any) -> Plan:
        if "spec" not in changes:
            source = nix.add_tree(HOSTILE / bundle, f"bundle-{bundle}")
            build = nix.build_guest if kind == "guest" else nix.build_process
            changes["spec"] = build(source, bundle, "guest.nix", "smoke.sh")
        number = next(numbers)
        values: dict[str, Any] = {
            "run": f"test-{bundle}-{os.getpid()}-{number}",
            "tenant": "test",
            "epoch": 1,
            "lane": "dev",
            "run_dir": str(tmp_path / f"run-{number}"),
            "inputs": inputs,
            "resources": Resources(vcpus=1, memory_mib=192, disk_mib=16),
            "deadline_s": 30.0,
            "clock_base": "2026-01-01T00:00:00Z",
            "seed": "0",
            "artifact_targets": (),
            "secrets": (),
            "caps": Caps(console_bytes=1 << 16),
        }
        return Plan(**{**values, **changes})

    return make


@pytest.fixture
def altered(nix: Nix, tmp_path: Path) -> Callable[..., StorePath]:
    """A hostile bundle's guest spec with some keys replaced: a kernel that is told something else."""

    def alter(bundle: str, **changes: Any) -> StorePath:
        source = nix.add_tree(HOSTILE / bundle, f"bundle-{bundle}")
        spec = nix.build_guest(source, bundle, "guest.nix", "smoke.sh")
        document = {**msgspec.json.decode(Path(spec.path).read_bytes()), **changes}
        path = tmp_path / "altered.json"
        path.write_bytes(msgspec.json.encode(document))
        return StorePath(path=str(path), nar_hash=spec.nar_hash)

    return alter
